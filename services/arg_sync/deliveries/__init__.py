"""Deliveries: each closed document reaches each ledger of its billing company once."""
