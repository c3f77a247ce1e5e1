"""Batches: which open lines go on which document, and what prevents it."""
