"""What fee_realizer remembers: facts, documents and statements in PostgreSQL, read and written a batch at a time."""
