"""Deciding about deliveries: pure functions over frozen values. No database, no network, no clock."""
