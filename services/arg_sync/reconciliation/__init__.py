"""The three-way check of received events, our documents and the accounting system."""
