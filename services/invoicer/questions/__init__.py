"""Questions about batches: why a line is not billed, batch groups, what-if. They change nothing."""
