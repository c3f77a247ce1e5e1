"""Self-billing: the numbers that suppliers give to the documents that are issued for them."""
