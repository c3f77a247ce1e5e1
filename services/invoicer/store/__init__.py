"""Remembers: the SQL of the invoicer, set-based; it applies decisions and takes none."""
