"""`python -m shared.migrations upgrade|downgrade`: brings the database of the settings to the newest schema, or takes it away."""

import asyncio
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.errors import Refused
from shared.migrations import VERSION_TABLE
from shared.settings import settings

MIGRATION_LOCK = 7_310_001


def _run(connection: Connection, direction: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    _check_known(connection, ScriptDirectory.from_config(config))
    if direction == "upgrade":
        command.upgrade(config, "head")
    else:
        command.downgrade(config, "base")


def _check_known(connection: Connection, script: ScriptDirectory) -> None:
    """Raises Refused if the books were made by migrations that this version does not have."""
    options = {"version_table": VERSION_TABLE, "version_table_schema": "public"}
    known = {one.revision for one in script.walk_revisions()}
    unknown = set(MigrationContext.configure(connection, opts=options).get_current_heads()) - known
    if unknown:
        raise Refused(
            "unknown_schema",
            f"these books have schema {', '.join(sorted(unknown))}, which this version does not know (it knows {', '.join(sorted(known))})",
            "run the version that made them or a newer one, or begin new books in another database or folder (`backoffice up --fresh` empties the folder)",
        )


async def migrate(database_url: str, direction: str = "upgrade") -> None:
    """Runs the migrations; two at once wait for each other. Raises Refused for books of an unknown schema, which stay as they are."""
    engine = create_async_engine(database_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(
                text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK}
            )
            await connection.run_sync(_run, direction)
    finally:
        await engine.dispose()


def main() -> None:
    """Entry point."""
    direction = sys.argv[1] if len(sys.argv) > 1 else "upgrade"
    if direction not in ("upgrade", "downgrade"):
        sys.exit("say `python -m shared.migrations upgrade` or `downgrade`")
    try:
        asyncio.run(migrate(settings().database_url, direction))
    except Refused as refused:
        sys.exit(f"{refused.message}; {refused.fix}")


if __name__ == "__main__":
    main()
