"""Read-only snapshots of the database: one connection, one login, one point in time.

It uses the driver itself: SQLAlchemy takes longer to import than most commands take to run.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NewType

import asyncpg

from shared.errors import Unavailable
from shared.logins import CONSOLE, connect
from shared.sql import named_queries

READ_ONLY = "25006"
NOT_MIGRATED = ("3D000", "3F000", "42P01", "22023", "28")
"""SQL states of a database that does not exist, has no schema yet, or refuses the login."""
PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
TYPES = {
    str: "varchar",
    bool: "boolean",
    date: "date",
    datetime: "timestamptz",
    Decimal: "numeric",
}
LARGEST_INTEGER = 2**31 - 1
SQL = named_queries(Path(__file__).with_name("queries.sql"))

Row = dict[str, Any]
ReadConnection = NewType("ReadConnection", asyncpg.Connection)
"""A connection in a read-only transaction."""


@asynccontextmanager
async def open_snapshot(database_url: str) -> AsyncIterator[ReadConnection]:
    """Open a connection that reads one snapshot as `console`. Raises `Unavailable`."""
    try:
        connection = await connect(CONSOLE, database_url)
    except Exception as error:
        raise_if_unavailable(error)
        raise
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield ReadConnection(connection)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise_if_unavailable(error)
        raise
    finally:
        await connection.close()


async def fetch(connection: ReadConnection, query: str, /, **values: Any) -> list[Row]:
    """Return the rows of a query as dicts."""
    sql, ordered = with_positions(query, values)
    return [dict(row) for row in await connection.fetch(sql, *ordered)]


async def fetch_page(
    connection: ReadConnection, columns: str, source: str, order_by: str, limit: int, **values: Any
) -> tuple[list[Row], int]:
    """Return the first `limit` rows of a source (what follows FROM), and how many it has in all."""
    (counted,) = await fetch(connection, f"SELECT count(*) AS number FROM {source}", **values)
    query = f"SELECT {columns} FROM {source} ORDER BY {order_by} LIMIT :most"
    return await fetch(connection, query, **values, most=limit), counted["number"]


def with_positions(query: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return a query with `$1` and a cast to the value's type in place of `:name`."""
    types = tuple((name, _type_of(value)) for name, value in values.items())
    sql, names = _positions(query, types)
    return sql, [values[name] for name in names]


@cache
def _positions(query: str, types: tuple[tuple[str, str], ...]) -> tuple[str, tuple[str, ...]]:
    suffixes = dict(types)
    names = tuple(dict.fromkeys(PARAMETER.findall(query)))
    places = {name: f"${place}{suffixes[name]}" for place, name in enumerate(names, start=1)}
    return PARAMETER.sub(lambda match: places[match[1]], query), names


def _type_of(value: Any) -> str:
    """Return the cast of a parameter; empty where the query itself states the type."""
    if type(value) is int:
        return "::integer" if abs(value) <= LARGEST_INTEGER else "::bigint"
    return f"::{TYPES[type(value)]}" if type(value) in TYPES else ""


def raise_if_unavailable(error: Exception) -> None:
    """Raise `Unavailable` if the error says that the database cannot be reached or used."""
    # Slow to import, and needed for errors only.
    from shared.database import infrastructure_unavailable, sqlstate

    if isinstance(error, Unavailable):
        return  # it says what to do
    state = sqlstate(error)
    if state.startswith(NOT_MIGRATED) or (infrastructure_unavailable(error) and state != READ_ONLY):
        inner = getattr(error, "orig", None) or error  # SQLAlchemy's errors wrap the driver's
        reason = str(inner).splitlines()[0][:160] if str(inner) else type(inner).__name__
        raise Unavailable(
            f"the database does not answer ({reason}): see `backoffice status`,"
            " start it with `backoffice up --detach`, or fix BACKOFFICE_DATABASE_URL"
        ) from error
