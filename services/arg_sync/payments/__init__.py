"""Payments read back from the accounting systems."""
