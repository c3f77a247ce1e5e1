"""Access to PostgreSQL: one engine per process, one login per service, timeouts, locks and queries.

Isolation is READ COMMITTED; the locks, not the snapshot, give consistency (only commands that take
no lock run at REPEATABLE READ, see `CommandDispatcher.snapshot`). Every transaction takes
its locks in the same order, sorted: `billto` and the billing companies, then facts, then documents.
Locks are taken in statements that run before the statements that read.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shared.errors import Unavailable
from shared.logins import address_of, connect
from shared.settings import settings

BILLTO_LOCK = "billto"
SEPARATOR, NULL = "\x1f", "\x1e"
"""In a column sent as one text: the separator between its values, and the mark for NULL."""

REFUSED_BY_DATABASE = ("22", "23502", "23514")
"""Beginnings of SQLSTATEs: bad data, NULL where none may be, a check that fails."""
RETRYABLE_STATES = ("23505", "23503", "23P01")
"""A key that another transaction took (unique, foreign, exclusion)."""
UNAVAILABLE_STATES = ("08", "40", "53", "55P03", "57", "25006", "0A000")
"""To be tried again: connection, rollback (a deadlock too), resources, lock timeout, shutdown or
cancel, a read-only server, a plan that a migration changed."""


def engine_for(login: str, database_url: str = "", pool_size: int | None = None) -> AsyncEngine:
    """Return an engine of a login: a service can write only its own schema.

    Raises `Refused` for an address of another login.
    """
    address = address_of(login, database_url)
    return create_async_engine(
        address,
        async_creator=lambda: connect(login, address),
        pool_size=pool_size or settings().pool_size,
        max_overflow=2,
        pool_timeout=30,
        pool_pre_ping=False,
    )


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of an error (five characters), or an empty string."""
    inner = getattr(error, "orig", error)
    state = getattr(inner, "sqlstate", None) or getattr(
        getattr(inner, "__cause__", None), "sqlstate", None
    )
    return state if isinstance(state, str) else ""


def refused_by_database(error: BaseException) -> bool:
    """Whether the database refuses the values of a record: a retry cannot succeed."""
    return sqlstate(error).startswith(REFUSED_BY_DATABASE)


def retryable(error: BaseException) -> bool:
    """Whether another worker caused the error (unique or foreign key): a retry can succeed."""
    return sqlstate(error).startswith(RETRYABLE_STATES)


def infrastructure_unavailable(error: BaseException) -> bool:
    """Whether the database cannot be reached or cannot work now."""
    if isinstance(
        error, Unavailable | InterfaceError | PoolTimeout | ConnectionError | TimeoutError | OSError
    ):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = sqlstate(error)
    if state:
        return state.startswith(UNAVAILABLE_STATES)
    return isinstance(
        error, OperationalError | asyncpg.InterfaceError | asyncpg.PostgresConnectionError
    )


def lock_key(name: str) -> int:
    """Return the 64-bit key of an advisory lock, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


async def lock_companies(
    connection: AsyncConnection, companies: Iterable[str], *, exclusive: bool = False
) -> None:
    """Lock billing companies for the transaction, in sorted order.

    Shared to change their lines or terms, exclusive to generate a batch or credit an invoice.
    """
    keys = sorted({lock_key(f"company:{company}") for company in companies})
    if keys:
        await _lock(connection, keys, exclusive=exclusive)


async def lock_billto(connection: AsyncConnection, *, exclusive: bool = False) -> None:
    """Lock the billto hierarchy, before any company.

    Shared to generate a batch or credit an invoice, exclusive to change a node.
    """
    await _lock(connection, [lock_key(BILLTO_LOCK)], exclusive=exclusive)


async def _lock(connection: AsyncConnection, keys: list[int], *, exclusive: bool) -> None:
    function = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
    await connection.execute(
        text(f"SELECT {function}(key) FROM unnest(CAST(:keys AS bigint[])) AS key"), {"keys": keys}
    )


ReplicaNameLock = Callable[[], Awaitable[None]]


@asynccontextmanager
async def replica_name(
    database_url: str, service: str, replica: str
) -> AsyncIterator[ReplicaNameLock]:
    """Hold the name of this replica while the process lives, by a session lock outside the pool.

    Raises `Unavailable` if another process holds it: two Kafka members with one name would rejoin
    for ever. Yields a function to call regularly: the lock is lost with its connection when the
    database restarts, and that function takes it again.
    """
    address = address_of(service, database_url)
    engine = create_async_engine(
        address,
        async_creator=lambda: connect(service, address),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
    )
    key = lock_key(f"replica:{settings().topic_prefix}{service}:{replica}")
    held: list[AsyncConnection] = []

    async def acquire() -> None:
        held.append(await engine.connect())
        if not await held[0].scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            await release()
            raise Unavailable(
                f"replica {replica!r} of {service} already runs:"
                " give this one another name with BACKOFFICE_REPLICA"
            )

    async def release() -> None:
        while held:
            await held.pop().close()

    async def keep() -> None:
        if held:
            try:
                await held[0].execute(text("SELECT 1"))
            except DBAPIError:
                await release()
        if not held:
            await acquire()

    try:
        await acquire()
        yield keep
    finally:
        try:
            await release()
        finally:
            await engine.dispose()


@lru_cache(maxsize=1000)
def _clause(query: str) -> TextClause:
    """Parsing a query for its parameters costs more than sending it, so the result is cached."""
    return text(query)


async def rows(connection: AsyncConnection, query: str, /, **values: Any) -> list[Any]:
    """Run a query and return all its rows."""
    return list((await connection.execute(_clause(query), values)).all())


async def run(connection: AsyncConnection, query: str, /, **values: Any) -> int:
    """Run a query and return the number of rows that it changed."""
    return (await connection.execute(_clause(query), values)).rowcount


Queried = TypeVar("Queried")
Computed = TypeVar("Computed")


async def run_in_thread(
    work: Awaitable[Queried], compute: Callable[[], Computed]
) -> tuple[Queried, Computed]:
    """Await database work while a thread computes, and return both results.

    Both have ended when this returns or raises: a transaction cannot be rolled back while its
    connection is still working.
    """
    computed = asyncio.ensure_future(asyncio.to_thread(compute))
    try:
        queried = await work
    finally:
        await asyncio.wait([computed])
    return queried, computed.result()


# -- many rows in one query


class Unstorable(ValueError):
    """A text contains the separator or the NULL mark; handled like a refusal by the database."""

    sqlstate = "22021"
    message = "a control character in a text"


def joined(values: Iterable[str | None]) -> str:
    """Join the values of a column into one text, for a parameter that `column` names.

    The driver encodes each element of a list; the database splits one text in less time. The last
    value is always NULL, because one empty text looks like no value at all: a query leaves that row
    out by asking for a column that is never NULL. Raises `Unstorable`.
    """
    given = list(values)
    texts = [NULL if value is None else value for value in given]
    whole = SEPARATOR.join([*texts, NULL])
    if whole.count(SEPARATOR) != len(given) or whole.count(NULL) != given.count(None) + 1:
        raise Unstorable(Unstorable.message)
    return whole


def column(name: str, kind: str = "text") -> str:
    """Return the SQL that makes the parameter `name` an array of type `kind`, for `unnest`."""
    return f"CAST(string_to_array(CAST(:{name} AS text), chr(31), chr(30)) AS {kind}[])"


def columns(kinds: Mapping[str, str]) -> str:
    """Return the SQL of several columns, by name and type, in their order."""
    return ", ".join(column(name, kind) for name, kind in kinds.items())


def kinds_of(definition: str | dict[str, str]) -> dict[str, str]:
    """Return the types by column of a definition such as `node_id text, revision bigint`."""
    if not isinstance(definition, str):
        return definition
    return dict(part.split() for part in definition.split(","))


def joined_rows(kinds: Mapping[str, str], values: Iterable[Sequence[object]]) -> dict[str, str]:
    """Join rows column by column as texts, for the parameters that `columns(kinds)` names.

    For many rows: the database splits a text faster than the driver encodes a list. The values of a
    row are in the order of `kinds`. Raises `Unstorable`.
    """
    by_column = list(zip(*values, strict=True)) or [()] * len(kinds)
    return {
        name: joined(None if value is None else str(value) for value in of_column)
        for name, of_column in zip(kinds, by_column, strict=True)
    }


def unnested(definition: str | dict[str, str]) -> str:
    """Return the SQL that unnests list parameters into rows `s`, one parameter for each column.

    The definition has the names and types of the columns: `node_id text, revision bigint`.
    """
    kinds = kinds_of(definition)
    lists = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in kinds.items())
    return f"unnest({lists}) AS s({', '.join(kinds)})"


def by_column(
    definition: str | dict[str, str], values: Iterable[Sequence[Any]]
) -> dict[str, list[Any]]:
    """Turn rows into the list parameters that `unnested` names; empty without rows."""
    of_columns = [list(of_column) for of_column in zip(*values, strict=True)]
    return dict(zip(kinds_of(definition), of_columns, strict=True)) if of_columns else {}


async def insert_rows(
    connection: AsyncConnection,
    table: str,
    definition: str | dict[str, str],
    values: Iterable[Sequence[Any]],
    *,
    replace: str = "",
    on_conflict: str = "",
) -> None:
    """Insert rows with one query; without rows no query runs.

    The definition has the names and types of the columns, in the order of the values of a row.
    `replace`: the key columns; a row with the same key gets the new values in all other columns.
    `on_conflict`: another conflict clause. Unlike joined texts, values may hold any character.
    """
    parameters = by_column(definition, values)
    if not parameters:
        return
    kinds = kinds_of(definition)
    if replace:
        changed = [f"{name} = excluded.{name}" for name in kinds if name not in replace.split(", ")]
        on_conflict = f"ON CONFLICT ({replace}) DO UPDATE SET {', '.join(changed)}"
    query = f"INSERT INTO {table} ({', '.join(kinds)}) SELECT * FROM {unnested(definition)}"
    await run(connection, f"{query} {on_conflict}", **parameters)
