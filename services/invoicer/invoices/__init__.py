"""Closed documents: their values, numbers, totals and seals, and the messages about them."""
