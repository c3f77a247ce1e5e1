"""The database schema: Alembic migrations that run plain SQL, including roles and views.

Run `python -m shared.migrations upgrade`. A released migration is never edited, because databases
were made by it: a change is a new revision in `versions` with its SQL in `sql`. `released.sha256`
holds the fingerprints of released migrations, and a test compares them.
"""

VERSION_TABLE = "schema_version"
