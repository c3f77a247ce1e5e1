"""Fixtures: a real PostgreSQL and a real Kafka for the session, and one database for each test.

A server is started when the first test needs it: at an address of the settings, in a Docker
engine, or embedded, in this order. A test that names `database` gets an empty, migrated database
of its own (a copy of a template, about 50 ms); one that names `topics` gets topics of its own (a
prefix). The settings point to both while the test runs.
"""

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.console.queries.snapshot import ReadConnection, open_snapshot
from shared import faults
from shared.broker.acls import ADMIN, CONSOLE
from shared.broker.producer import OutgoingMessage
from shared.consumer.processing import BadRecords, Subscription, process_batch
from shared.consumer.records import Applied, Record
from shared.consumer.unit_of_work import MessageBuilder, UnitOfWork
from shared.database import engine_for
from shared.logins import OWNER, address_of, plain_dsn
from shared.migrations import logins as migration_logins
from shared.migrations.__main__ import migrate
from shared.settings import PREFIX, Settings, read_settings, settings
from shared.stack.choice import Broker, Database, choose_broker, choose_database
from shared.stack.logins import SUPERUSER
from shared.stack.ports import Ports
from tests.kafka_users import allow, prepare

MANY = 1_000_000
LEDGER_TEST_HOSTS = "127.0.0.1"


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in a thread of its own, for fixtures that outlive a test's
    loop.
    """
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


# -- settings


@pytest.fixture(autouse=True)
def _fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test reads the settings anew and leaves none behind. Its ledgers are on loopback.

    Commands need no signature, as in the embedded stack.
    """
    monkeypatch.setenv("BACKOFFICE_LEDGER_TEST_HOSTS", LEDGER_TEST_HOSTS)
    monkeypatch.setenv("BACKOFFICE_COMMANDS", "open")
    settings.cache_clear()
    faults._visits.clear()
    yield
    settings.cache_clear()


Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """`configure(today="2026-10-31", sweep_seconds=0.2)` changes settings for this test."""

    def put(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"BACKOFFICE_{name.upper()}", str(value))
        settings.cache_clear()

    return put


# -- servers, once a session


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Where the servers of this test session keep data and logs.

    Not below the folder of pytest: each pytest that starts as root closes that one to other users,
    and so the data of a running PostgreSQL.
    """
    with tempfile.TemporaryDirectory(
        prefix="backoffice-tests-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def _chosen(folder: Path, say: Callable[[str], None]) -> tuple[Settings, Ports]:
    (folder / "logs").mkdir(exist_ok=True)
    return read_settings(), Ports(folder, say)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[Database]:
    """PostgreSQL: `.url` with `{login}` in place of a login, `.admin_url` of the superuser."""
    wish, ports = _chosen(server_folder, print)
    server, _ = choose_database(wish, server_folder, ports, print)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kafka(server_folder: Path) -> Iterator[Broker]:
    """Kafka: `.address`."""
    wish, ports = _chosen(server_folder, print)
    server, _ = choose_broker(wish, server_folder, ports, print, None)
    server.start()
    yield server
    server.stop()


# -- PostgreSQL, a database a test


async def run_sql(dsn: str, *statements: str) -> None:
    """Run statements on a connection of their own."""
    connection = await asyncpg.connect(plain_dsn(dsn))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def database_address(url: str, name: str) -> str:
    """The address of another database of the server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def as_superuser(url: str) -> str:
    """The superuser's address of a database: tests look everywhere and break what they must."""
    return address_of(SUPERUSER, url)


async def new_database(admin_url: str, name: str, template: str = "") -> None:
    """Make a database as the stack makes its own: the same owner, grants and sessions' schema."""
    made = migration_logins.new_database(name)
    if template:
        made = f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER}"
    await run_sql(admin_url, made, migration_logins.grants_script(name))
    if not template:
        await run_sql(database_address(admin_url, name), migration_logins.CONTENT)


@pytest.fixture(scope="session")
def template(postgres: Database) -> Iterator[str]:
    """Name of a migrated database from which the database of each test is copied."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    finish(new_database(postgres.admin_url, name))
    finish(migrate(database_address(postgres.url, name)))
    yield name
    finish(run_sql(postgres.admin_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(postgres: Database, template: str, configure: Configure) -> Iterator[str]:
    """The address of an empty, migrated database of this test, `{login}` in place of a login; the
    settings have it.
    """
    name = f"test_{uuid.uuid4().hex[:12]}"
    finish(new_database(postgres.admin_url, name, template))
    url = database_address(postgres.url, name)
    configure(database_url=url)
    yield url
    finish(run_sql(postgres.admin_url, f"DROP DATABASE {name} WITH (FORCE)"))


EngineOf = Callable[[str], AsyncEngine]


@pytest.fixture
async def engine_of(database: str) -> AsyncIterator[EngineOf]:
    """`engine_of("invoicer")` has the login of that service, `engine_of("owner")` all rights."""
    engines: dict[str, AsyncEngine] = {}

    def engine(login: str) -> AsyncEngine:
        if login not in engines:
            engines[login] = (
                create_async_engine(as_superuser(database))
                if login == "owner"
                else engine_for(login, database)
            )
        return engines[login]

    yield engine
    for made in engines.values():
        await made.dispose()


@dataclass
class RecordingProducer:
    """Record what is published, for tests of tables, which need no Kafka."""

    published: list[OutgoingMessage] = field(default_factory=list)

    async def publish(self, records: Sequence[OutgoingMessage]) -> None:
        """Record it."""
        self.published.extend(records)


UnitOfWorkFor = Callable[..., UnitOfWork]


@pytest.fixture
def unit_of_work_for(engine_of: EngineOf) -> UnitOfWorkFor:
    """`unit_of_work_for("invoicer", BUILDERS)`: the transactions of a service.

    They run as the protocol runs them; `.producer.published` is what was published.
    """

    def unit_of_work(service: str, says: dict[str, MessageBuilder] | None = None) -> UnitOfWork:
        return UnitOfWork(service, engine_of(service), RecordingProducer(), says or {})  # type: ignore[arg-type]

    return unit_of_work


Transact = Callable[..., Awaitable[Any]]


@pytest.fixture
def transact(engine_of: EngineOf) -> Transact:
    """`await transact("invoicer", work)` runs `work(connection)` in a transaction of that role.

    The transaction is committed; the result is that of `work`.
    """

    async def run(
        role: str,
        work: Callable[[AsyncConnection], Awaitable[Any]],
        isolation: str = "READ COMMITTED",
    ) -> Any:
        async with engine_of(role).connect() as connection:
            await connection.execution_options(isolation_level=isolation)
            async with connection.begin():
                return await work(connection)

    return run


async def process(
    unit_of_work: UnitOfWork, subscription: Subscription, records: Sequence[Record]
) -> bool:
    """Process one polled batch by the whole protocol but Kafka.

    Reading, bisecting, dead letters, transaction, publishing.
    """
    return await process_batch(unit_of_work, subscription, records, BadRecords(MANY))


async def nothing(connection: AsyncConnection) -> Applied:
    """A transaction without work: it deletes what has been published from the outbox."""
    return Applied()


# -- Kafka, topics a test


@pytest.fixture
def topics(kafka: Broker, configure: Configure) -> Iterator[str]:
    """Prefix of topics of this test only (two partitions).

    The settings have address and prefix, and the user `admin`, who may do everything.
    """
    prefix = f"t{uuid.uuid4().hex[:8]}."
    configure(topic_prefix=prefix, partitions=2)
    for name, value in kafka.access(ADMIN).environment().items():
        configure(**{name.removeprefix(PREFIX): value})
    finish(prepare(kafka))
    yield prefix
    finish(allow(kafka, ()))


@pytest.fixture
def stack(database: str, topics: str, kafka: Broker, tmp_path: Path) -> dict[str, str]:
    """The environment with which a process reaches the database and topics of this test.

    Its user of Kafka is the console's (`as_user` for others).
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("BACKOFFICE_")}
    return own | {
        **kafka.access(CONSOLE).environment(),
        "BACKOFFICE_DATABASE_URL": database,
        "BACKOFFICE_TOPIC_PREFIX": topics,
        "BACKOFFICE_PARTITIONS": "2",
        "BACKOFFICE_DATA": str(tmp_path / "data"),
        "BACKOFFICE_LEDGER_TEST_HOSTS": LEDGER_TEST_HOSTS,
        "BACKOFFICE_COMMANDS": "open",
    }


def as_console(engine: AsyncEngine) -> AbstractAsyncContextManager[ReadConnection]:
    """A connection to the engine's database that reads as the console's commands do."""
    return open_snapshot(database_address(settings().database_url, engine.url.database or ""))
