"""What all facts share: stub rows to lock, and the queue of the documents that name a fact."""
