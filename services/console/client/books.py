"""A read-only view into the books: one connection as the role `console`, one snapshot.

It uses the driver itself: SQLAlchemy takes longer to import than most commands take to run.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, NewType
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

from shared.clock import today_of
from shared.errors import Unavailable
from shared.settings import database_session

ROLE = "console"
CONNECT_SECONDS = 10
READ_ONLY = "25006"
NOT_OURS = ("3D000", "3F000", "42P01", "22023", "28")
"""What a database says that is not there, was not migrated, or does not know us."""
PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
TYPES = {
    str: "varchar",
    bool: "boolean",
    date: "date",
    datetime: "timestamptz",
    Decimal: "numeric",
}
LARGEST_INTEGER = 2**31 - 1

Row = dict[str, Any]
ReadConnection = NewType("ReadConnection", asyncpg.Connection)
"""A connection in a read-only transaction."""


@asynccontextmanager
async def reading(database_url: str) -> AsyncIterator[ReadConnection]:
    """A connection that reads one snapshot as `console`."""
    try:
        connection = await asyncpg.connect(
            **_address(database_url),
            timeout=CONNECT_SECONDS,
            server_settings=database_session(ROLE),
        )
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


def _address(database_url: str) -> dict[str, Any]:
    """An address for SQLAlchemy as arguments of the driver, which takes `ssl` beside it."""
    address = urlsplit(database_url)
    options = dict(parse_qsl(address.query))
    ssl = {"ssl": options.pop("ssl")} if "ssl" in options else {}
    scheme = address.scheme.partition("+")[0]
    return {"dsn": address._replace(scheme=scheme, query=urlencode(options)).geturl(), **ssl}


async def found(connection: ReadConnection, statement: str, /, **values: Any) -> list[Row]:
    """The rows of a statement as dicts."""
    sql, ordered = with_positions(statement, values)
    return [dict(row) for row in await connection.fetch(sql, *ordered)]


def with_positions(statement: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A statement with `:name` as the driver takes it: with `$1`, of the value's type."""
    types = tuple((name, _type_of(value)) for name, value in values.items())
    sql, names = _positions(statement, types)
    return sql, [values[name] for name in names]


@cache
def _positions(statement: str, types: tuple[tuple[str, str], ...]) -> tuple[str, tuple[str, ...]]:
    suffixes = dict(types)
    names = tuple(dict.fromkeys(PARAMETER.findall(statement)))
    places = {name: f"${place}{suffixes[name]}" for place, name in enumerate(names, start=1)}
    return PARAMETER.sub(lambda match: places[match[1]], statement), names


def _type_of(value: Any) -> str:
    """The cast of a parameter; empty where the statement itself says the type."""
    if type(value) is int:
        return "::integer" if abs(value) <= LARGEST_INTEGER else "::bigint"
    return f"::{TYPES[type(value)]}" if type(value) in TYPES else ""


async def companies_today(
    connection: ReadConnection, billing_company: str | None = None
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


def raise_if_unavailable(error: Exception) -> None:
    """Raises `Unavailable` if the database, or the way to it, does not work."""
    from shared.database import (  # slow to import, needed for errors alone
        infrastructure_unavailable,
        sqlstate,
    )

    known = infrastructure_unavailable(error) or sqlstate(error).startswith(NOT_OURS)
    if not known or sqlstate(error) == READ_ONLY:
        return
    inner = getattr(error, "orig", None) or error  # SQLAlchemy's errors wrap the driver's
    first_line = str(inner).splitlines()[0][:160] if str(inner) else type(inner).__name__
    raise Unavailable(
        f"the database does not answer ({first_line}): see `backoffice status`, start it with `backoffice up --detach`, or fix BACKOFFICE_DATABASE_URL"
    ) from error
