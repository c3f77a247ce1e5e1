"""Alembic's entry: connects with the address in the settings (or the connection it is handed) and runs the revisions."""

from alembic import context
from sqlalchemy import Connection

from shared.migrations import VERSION_TABLE

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=None,
    version_table=VERSION_TABLE,
    version_table_schema="public",
)
with context.begin_transaction():
    context.run_migrations()
