"""`python -m shared.migrations upgrade|downgrade|admin|logins`: migrate the database, remove the
schemas, add the first program with the role admin (`admin NAME FILE`), or make logins and database
with the address of an administrator (`logins [FOLDER]`).
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

from shared.errors import Refused, Unavailable
from shared.logins import LOGIN, LOGINS, OWNER, address_of, connect_to
from shared.migrations import VERSION_TABLE
from shared.migrations.logins import make_logins
from shared.settings import settings

MIGRATION_LOCK = 7_310_001


def _run(connection: Connection, direction: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    _check_known(connection, ScriptDirectory.from_config(config))
    _check_logins(connection)
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


def _check_logins(connection: Connection) -> None:
    found = connection.execute(text("SELECT rolname FROM pg_roles")).scalars().all()
    if missing := [login for login in LOGINS if login not in found]:
        raise Refused(
            "logins_missing",
            f"the server has no login {', '.join(missing)}",
            "make them as an administrator: `python -m shared.migrations logins FOLDER`",
        )


async def migrate(database_url: str = "", direction: str = "upgrade") -> None:
    """Run the migrations as the owner; two processes at once wait for each other.

    Raises Refused for the address of another login, a database of an unknown schema, which is left
    unchanged, or a server without the logins of the services.
    """
    address = address_of(OWNER, database_url)
    engine = create_async_engine(address, async_creator=lambda: connect_to(address))
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
            work = migrate()
        case ["downgrade"]:
            work = migrate(direction="downgrade")
        case ["admin", program, file]:
            work = _add_admin(program, Path(file))
        case ["logins", *folder] if len(folder) < 2:
            work = _make_logins(Path(folder[0]) if folder else None)
        case _:
            sys.exit(
                "say `python -m shared.migrations upgrade`, `downgrade`, `admin NAME FILE` or"
                " `logins [FOLDER]`"
            )
    try:
        asyncio.run(work)
    except Refused as refused:
        sys.exit(f"{refused.message}; {refused.fix}")
    except Unavailable as unavailable:
        sys.exit(unavailable.message)


async def _make_logins(folder: Path | None) -> None:
    url = settings().database_url
    if LOGIN in url or not url:
        raise Refused(
            "no_administrator",
            f"BACKOFFICE_DATABASE_URL is {url or 'empty'}",
            "put the address of an administrator there for this command",
        )
    await make_logins(url, folder)


async def _add_admin(program: str, file: Path) -> None:
    from shared.migrations.first_admin import add_admin  # no migration needs keys

    key_id = await add_admin("", program, file)
    print(f"{program} may act as admin with the key {key_id}; its private key is {file}")


if __name__ == "__main__":
    main()
