"""`python -m shared.migrations upgrade|downgrade`: brings the database of the settings to the newest schema, or takes it away."""

import asyncio
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.settings import settings

MIGRATION_LOCK = 7_310_001


def _run(connection: Connection, direction: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    if direction == "upgrade":
        command.upgrade(config, "head")
    else:
        command.downgrade(config, "base")


async def migrate(database_url: str, direction: str = "upgrade") -> None:
    """Runs the migrations; two at once wait for each other."""
    engine = create_async_engine(database_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            await connection.run_sync(_run, direction)
    finally:
        await engine.dispose()


def main() -> None:
    """Entry point."""
    direction = sys.argv[1] if len(sys.argv) > 1 else "upgrade"
    if direction not in ("upgrade", "downgrade"):
        sys.exit("say `python -m shared.migrations upgrade` or `downgrade`")
    asyncio.run(migrate(settings().database_url, direction))


if __name__ == "__main__":
    main()
