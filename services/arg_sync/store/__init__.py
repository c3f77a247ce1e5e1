"""What arg_sync remembers. All SQL of the service."""
