"""Rules of deliveries: claiming, mapping to ledger codes, comparing, state transitions."""
