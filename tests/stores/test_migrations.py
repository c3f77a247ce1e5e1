"""A database outlives a version: released migrations do not change, and a database of an unknown
schema is refused.
"""

import asyncio
import hashlib
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.errors import Refused
from shared.migrations.__main__ import migrate
from tests.conftest import EngineOf

FOLDER = Path(__file__).parents[2] / "shared" / "migrations"
RELEASED = FOLDER / "released.sha256"


def released() -> dict[str, str]:
    """Fingerprint by file, as `sha256sum` writes them."""
    return {
        name: digest
        for digest, name in (line.split() for line in RELEASED.read_text().splitlines())
    }


@pytest.mark.parametrize("name", sorted(released()))
def test_a_released_migration_is_never_edited(name: str) -> None:
    """Existing databases were made by it: a change goes into a new revision."""
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == released()[name], (
        f"{name} is released: undo the edit, write a new revision"
    )


def test_every_migration_is_released_knowingly() -> None:
    """A new one is added to the list when its version is released: `sha256sum sql/*.sql
    versions/0*.py > released.sha256` in its folder.
    """
    there = {
        str(path.relative_to(FOLDER))
        for pattern in ("sql/*.sql", "versions/0*.py")
        for path in FOLDER.glob(pattern)
    }
    assert there == set(released())


async def test_migrating_twice_changes_nothing(database: str, engine_of: EngineOf) -> None:
    """The second time finds nothing to do, and two at once wait for each other."""
    await asyncio.gather(migrate(database), migrate(database))
    async with engine_of("owner").begin() as connection:
        assert (
            await connection.execute(text("SELECT count(*) FROM public.schema_version"))
        ).scalar_one() == 1


async def test_a_database_of_an_unknown_schema_is_not_changed(
    database: str, engine_of: EngineOf
) -> None:
    """A newer version made it, or one that was never released: nothing is done to it, up or
    down, and the message says what to do.
    """
    async with engine_of("owner").begin() as connection:
        await connection.execute(text("UPDATE public.schema_version SET version_num = '0999'"))
    for direction in ("upgrade", "downgrade"):
        with pytest.raises(Refused, match="has schema 0999; this version knows only") as refused:
            await migrate(database, direction)
        assert "--fresh" in refused.value.fix
    async with engine_of("owner").begin() as connection:
        assert (
            await connection.execute(
                text("SELECT count(*) FROM fee_realizer.billing_company_settings")
            )
        ).scalar_one() == 0
