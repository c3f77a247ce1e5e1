"""What may be done with a draft, and what becomes of it."""
