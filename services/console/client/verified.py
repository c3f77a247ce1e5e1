"""The checks of the books, run as the console's role on a connection of their own."""

from services.console.client.books import ROLE, raise_if_unavailable
from shared.database import engine_for
from shared.verify import Report, verify


async def verified(database_url: str) -> Report:
    """The report of all checks on one snapshot."""
    engine = engine_for(ROLE, database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await verify(connection)
    except Exception as error:
        raise_if_unavailable(error)
        raise
    finally:
        await engine.dispose()
