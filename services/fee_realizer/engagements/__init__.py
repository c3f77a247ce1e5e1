"""Engagements and suppliers, and the engagement of each placement."""
