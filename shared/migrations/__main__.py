"""`python -m shared.migrations upgrade|downgrade|admin`: migrate the database, remove the schemas,
or add the first program with the role admin (`admin NAME FILE`).
"""

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
    """Refuse a database made by migrations that this version does not have."""
    options = {"version_table": VERSION_TABLE, "version_table_schema": "public"}
    known = {one.revision for one in script.walk_revisions()}
    unknown = set(MigrationContext.configure(connection, opts=options).get_current_heads()) - known
    if unknown:
        raise Refused(
            "unknown_schema",
            f"this database has schema {', '.join(sorted(unknown))};"
            f" this version knows only {', '.join(sorted(known))}",
            "run the version that made it or a newer one, or start with an empty database"
            " (`backoffice up --fresh` deletes the data folder and starts again)",
        )


async def migrate(database_url: str, direction: str = "upgrade") -> None:
    """Run the migrations; two processes at once wait for each other.

    Raises Refused for a database of an unknown schema, which is left unchanged.
    """
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
    match sys.argv[1:]:
        case [] | ["upgrade"]:
            work = migrate(settings().database_url)
        case ["downgrade"]:
            work = migrate(settings().database_url, "downgrade")
        case ["admin", program, file]:
            work = _add_admin(program, Path(file))
        case _:
            sys.exit("say `python -m shared.migrations upgrade`, `downgrade` or `admin NAME FILE`")
    try:
        asyncio.run(work)
    except Refused as refused:
        sys.exit(f"{refused.message}; {refused.fix}")


async def _add_admin(program: str, file: Path) -> None:
    from shared.migrations.first_admin import add_admin  # no migration needs keys

    key_id = await add_admin(settings().database_url, program, file)
    print(f"{program} may act as admin with the key {key_id}; its private key is {file}")


if __name__ == "__main__":
    main()
