"""The schema of the books: Alembic migrations that run plain SQL, roles and views too. Run as `python -m shared.migrations upgrade`."""
