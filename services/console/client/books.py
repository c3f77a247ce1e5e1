"""A read-only view into the books: one connection as the role `console`, one snapshot, nothing can be changed through it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import today_of
from shared.database import engine_for, infrastructure_unavailable, sqlstate
from shared.errors import Unavailable

ROLE = "console"
READ_ONLY = "25006"
NOT_OURS = ("3D000", "3F000", "42P01", "22023", "28")
"""What a database says that is not there, was not migrated, or does not know us."""
Row = dict[str, Any]


@asynccontextmanager
async def reading(database_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection that reads one snapshot as `console`."""
    engine = engine_for(ROLE, database_url, pool_size=1)
    try:
        try:
            plain = await engine.connect()
        except Exception as error:
            if infrastructure_unavailable(error) or sqlstate(error).startswith(NOT_OURS):
                raise _away(error) from error
            raise
        try:
            yield await plain.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        except DBAPIError as error:
            if (infrastructure_unavailable(error) and sqlstate(error) != READ_ONLY) or sqlstate(
                error
            ).startswith(NOT_OURS):
                raise _away(error) from error
            raise
        finally:
            await plain.close()
    finally:
        await engine.dispose()


async def found(connection: AsyncConnection, statement: str, /, **values: Any) -> list[Row]:
    """The rows of a statement as dicts."""
    return [dict(row) for row in (await connection.execute(text(statement), values)).mappings()]


async def companies_today(
    connection: AsyncConnection, billing_company: str | None = None
) -> dict[str, date]:
    """Each known billing company with its local date; only the named one (in UTC if it is unknown) if one is named."""
    rows = await found(
        connection,
        "SELECT c.billing_company, coalesce(k.time_zone, 'UTC') AS time_zone FROM ("
        " SELECT billing_company FROM fee_realizer.billing_company_settings UNION SELECT CAST(:company AS text) WHERE CAST(:company AS text) IS NOT NULL) c"
        " LEFT JOIN fee_realizer.billing_company_settings k USING (billing_company)"
        " WHERE CAST(:company AS text) IS NULL OR c.billing_company = :company ORDER BY 1",
        company=billing_company,
    )
    return {row["billing_company"]: today_of(row["time_zone"]) for row in rows}


def _away(error: BaseException) -> Unavailable:
    return Unavailable(
        f"the database does not answer ({_first_line(error)}): see `backoffice status`, start it with `backoffice up --detach`, or fix BACKOFFICE_DATABASE_URL"
    )


def _first_line(error: BaseException) -> str:
    inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(inner).splitlines()[0][:160] if str(inner) else type(inner).__name__
