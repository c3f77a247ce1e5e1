"""Payments, their entries on documents and lines, and the balances of these."""
