"""SQL of reconciliation: runs and drifts."""
