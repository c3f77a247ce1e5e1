"""Questions that change nothing: why a line is not billed, batch groups, what-if."""
