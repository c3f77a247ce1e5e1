"""Connections to accounting systems: settings, state, secrets, customers, mapping, budget."""
