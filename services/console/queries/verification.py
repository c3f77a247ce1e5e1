"""The checks of the data. They run as `auditor`, a login that reads everything but secrets."""

from services.console.queries.snapshot import raise_if_unavailable
from shared.database import engine_for
from shared.logins import AUDITOR
from shared.verify import Report, verify


async def run_checks(database_url: str) -> Report:
    """The report of all checks on one snapshot. Raises `Unavailable`."""
    engine = engine_for(AUDITOR, database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await verify(connection)
    except Exception as error:
        raise_if_unavailable(error)
        raise
    finally:
        await engine.dispose()
