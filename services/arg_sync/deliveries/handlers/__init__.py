"""Deliveries at work: queueing, the loop that claims, renders, sends and records, and commands."""
