"""What arg_sync does when it hears of a document, when an operator asks, and when a delivery is due."""
