"""Payments: money received, its entries on closed documents, and what accounting systems book."""
