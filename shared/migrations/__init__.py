"""The schema of the books: Alembic migrations that run plain SQL, roles and views too. Run as `python -m shared.migrations upgrade`.

A released migration is never edited, since books were made by it: what is to change is a revision of its own in `versions`, with its SQL in
`sql`. `released.sha256` says how the released ones read; a test holds them to it.
"""

VERSION_TABLE = "schema_version"
