"""Commands about payments, what credits free of them, and what accounting systems report."""
