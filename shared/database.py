"""The way to PostgreSQL: one engine a process, a role a service, transactions with bounded patience, and the locks.

Isolation is READ COMMITTED; the locks, not the snapshot, give consistency (protocol section 1). Lock order, always sorted:
1 `billto`, companies; 2 facts; 3 documents. Locks are taken in statements before those that read.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
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
from shared.settings import settings

STATEMENT_SECONDS = 600
LOCK_SECONDS = 120
BILLTO_LOCK = "billto"
TEMP_BUFFERS = "64MB"
"""A batch picks its lines in temporary tables. They are taken into memory as they are used, up to so much a connection."""

BETWEEN, NULL = "\x1f", "\x1e"
"""In a column that travels as one text: what stands between its values, and what stands for NULL."""

REFUSED_BY_DATABASE = ("22", "23502", "23514")
RETRYABLE_STATES = ("23505", "23503", "23P01")
UNAVAILABLE_STATES = ("08", "40", "53", "55P03", "57", "25006", "0A000")


def engine_for(role: str, database_url: str = "", pool_size: int | None = None) -> AsyncEngine:
    """An engine whose connections act as `role`, so that a service can write its own schema only."""
    return create_async_engine(
        database_url or settings().database_url,
        pool_size=pool_size or settings().pool_size,
        max_overflow=2,
        pool_timeout=30,
        pool_pre_ping=False,
        connect_args={
            "timeout": 10,
            "server_settings": {
                "role": role,
                "application_name": f"backoffice {role} {settings().replica}",
                "statement_timeout": f"{STATEMENT_SECONDS}s",
                "lock_timeout": f"{LOCK_SECONDS}s",
                "idle_in_transaction_session_timeout": "300s",
                "jit": "off",
                "timezone": "UTC",  # days of instants are days of UTC, and seals are made of dates as ISO writes them,
                "datestyle": "ISO",  # whatever a database of somebody else's says
                "temp_buffers": TEMP_BUFFERS,
            },
        },
    )


def sqlstate(error: BaseException) -> str:
    """The five characters that PostgreSQL gave for an error, or empty."""
    inner = getattr(error, "orig", error)
    state = getattr(inner, "sqlstate", None) or getattr(
        getattr(inner, "__cause__", None), "sqlstate", None
    )
    return state if isinstance(state, str) else ""


def refused_by_database(error: BaseException) -> bool:
    """Whether the database refuses the values of a record, so that trying again is useless."""
    return sqlstate(error).startswith(REFUSED_BY_DATABASE)


def retryable(error: BaseException) -> bool:
    """Whether another worker was in the way (a unique key, a foreign key): right at the next try."""
    return sqlstate(error).startswith(RETRYABLE_STATES)


def infrastructure_unavailable(error: BaseException) -> bool:
    """Whether the database, or the way to it, does not work now."""
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
    """The 64-bit key of an advisory lock: the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


async def lock_companies(
    connection: AsyncConnection, companies: Iterable[str], *, exclusive: bool = False
) -> None:
    """Locks billing companies for the transaction, in one order: shared to change their lines or terms, exclusive to generate or credit."""
    keys = sorted({lock_key(f"company:{company}") for company in companies})
    if keys:
        await _lock(connection, keys, exclusive=exclusive)


async def lock_billto(connection: AsyncConnection, *, exclusive: bool = False) -> None:
    """Locks the billto hierarchy, before any company: shared to generate and credit, exclusive to change a node."""
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
    """Holds the name of this replica while the process lives: a session lock on a connection outside the pool.

    Raises `Unavailable` with a message if another process holds it: two members with one name would rejoin for ever. What it gives is to
    be called now and then: the lock goes with its connection, when the database starts anew, and is taken again.
    """
    engine = create_async_engine(
        database_url or settings().database_url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    holding: list[AsyncConnection] = []

    async def take() -> None:
        holding.append(await engine.connect())
        got = await holding[0].scalar(
            text("SELECT pg_try_advisory_lock(:key)"),
            {"key": lock_key(f"replica:{settings().topic_prefix}{service}:{replica}")},
        )
        if not got:
            await let_go()
            raise Unavailable(
                f"replica {replica!r} of {service} already runs: give this one another name with BACKOFFICE_REPLICA"
            )

    async def let_go() -> None:
        while holding:
            await holding.pop().close()

    async def keep() -> None:
        if holding:
            try:
                await holding[0].execute(text("SELECT 1"))
            except DBAPIError:
                await let_go()
        if not holding:
            await take()

    try:
        await take()
        yield keep
    finally:
        try:
            await let_go()
        finally:
            await engine.dispose()


@lru_cache(maxsize=1000)
def _clause(statement: str) -> TextClause:
    """Reading a statement for its parameters costs more than sending it; there are some hundreds, and they do not change."""
    return text(statement)


async def rows(connection: AsyncConnection, statement: str, /, **values: Any) -> list[Any]:
    """All rows of a statement."""
    return list((await connection.execute(_clause(statement), values)).all())


async def run(connection: AsyncConnection, statement: str, /, **values: Any) -> int:
    """Runs a statement; the number of rows it touched."""
    return (await connection.execute(_clause(statement), values)).rowcount


Asked = TypeVar("Asked")
Computed = TypeVar("Computed")


async def run_in_thread(
    work: Awaitable[Asked], compute: Callable[[], Computed]
) -> tuple[Asked, Computed]:
    """What the database does and what a thread computes meanwhile. Both have ended when this returns or raises: a transaction can't be
    rolled back while its connection is still at work."""
    computed = asyncio.ensure_future(asyncio.to_thread(compute))
    try:
        asked = await work
    finally:
        await asyncio.wait([computed])
    return asked, computed.result()


# -- many rows in one statement


class Unstorable(ValueError):
    """A value holds a character that stands between values, or for NULL. To whoever sent it: the database refuses it."""

    sqlstate = "22021"
    message = "a control character in a text"


def joined(values: Iterable[str | None]) -> str:
    """A column as one text, for a parameter that `column` names. The driver looks at each value of a list; the database splits a text
    in less time than that takes. The last value is NULL, because one empty text could not be told from none at all: a statement leaves
    that row out by asking for a column that is never NULL. Raises `Unstorable`."""
    given = list(values)
    texts = [NULL if value is None else value for value in given]
    whole = BETWEEN.join([*texts, NULL])
    if whole.count(BETWEEN) != len(given) or whole.count(NULL) != given.count(None) + 1:
        raise Unstorable(Unstorable.message)
    return whole


def column(name: str, kind: str = "text") -> str:
    """The SQL by which the parameter `name` is an array of `kind`, for `unnest`."""
    return f"CAST(string_to_array(CAST(:{name} AS text), chr(31), chr(30)) AS {kind}[])"


def columns(kinds: dict[str, str]) -> str:
    """The SQL of several, by name and kind, in their order."""
    return ", ".join(column(name, kind) for name, kind in kinds.items())
