"""The setup of the measurements: one Kafka and one PostgreSQL for the whole run, and for each
measurement a database and topics of its own.

Workers are real processes, started as the stack starts them; what they use of memory is asked of
the kernel.
"""

import asyncio
import os
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import psutil

from shared.broker.acls import ADMIN
from shared.broker.topics import full_name
from shared.logins import plain_dsn
from shared.migrations.logins import MAINTENANCE
from shared.settings import settings
from shared.stack.choice import Broker
from shared.stack.ports import HOST, Ports
from shared.stack.running import running_stack
from shared.stack.stack import Stack
from shared.stack.workers import Worker, wait_until_ready
from tests.conftest import as_superuser, database_address, new_database, run_sql
from tests.kafka_users import prepare

MEBIBYTE = 1024 * 1024
PAUSE_SECONDS = 0.05
SETTLE_SECONDS = 600.0


@dataclass
class Place:
    """A database and topics that one measurement has for itself."""

    name: str
    url: str
    kafka: Broker
    data: Path
    workers: list[Worker] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The settings by which this process reaches this place."""
        return {
            **self.kafka.access(ADMIN).environment(),
            "BACKOFFICE_DATABASE_URL": self.url,
            "BACKOFFICE_TOPIC_PREFIX": f"{self.name}.",
            "BACKOFFICE_COMMANDS": "open",
        }

    async def owner(self) -> asyncpg.Connection:
        """A connection that may do everything."""
        return await asyncpg.connect(plain_dsn(as_superuser(self.url)))

    async def value(self, statement: str, *values: Any) -> Any:
        """One value, on a connection of its own."""
        connection = await self.owner()
        try:
            return await connection.fetchval(statement, *values)
        finally:
            await connection.close()

    def topic(self, name: str) -> str:
        """The full name of a topic here."""
        return full_name(name)

    def start(
        self, *services: str, replicas: int = 1, wait: bool = True, **values: object
    ) -> list[Worker]:
        """Starts worker processes with these settings, and waits until all are ready unless told
        not to.
        """
        ports = Ports(self.data, _quiet)
        own = {f"BACKOFFICE_{name.upper()}": str(value) for name, value in values.items()}
        started = [
            Worker(
                self.data,
                service,
                replica,
                ports,
                {**self.environment, **self.kafka.access(service).environment(), **own},
                _quiet,
            )
            for service in services
            for replica in range(1, replicas + 1)
        ]
        for worker in started:
            worker.start()
        self.workers += started
        if wait:
            wait_until_ready(started, lambda: None)
        return started

    def stop(self) -> None:
        """Stops the workers of this place."""
        for worker in self.workers:
            worker.ask_to_stop()
        for worker in self.workers:
            worker.stop()
        self.workers.clear()


def _quiet(words: str) -> None:
    """Says nothing."""


@dataclass
class BenchServers:
    """The servers of a run."""

    stack: Stack
    data: Path
    _made: int = 0

    @property
    def _administration(self) -> str:
        return database_address(self.stack.postgres.admin_url, MAINTENANCE)

    @contextmanager
    def place(self, name: str, partitions: int = 4) -> Iterator[Place]:
        """A migrated, empty database and empty topics; both are gone from the settings
        afterwards, the database from the disk.
        """
        self._made += 1
        own = f"bench_{name}_{self._made}"
        migrated = urlsplit(self.stack.postgres.url).path.removeprefix("/")
        asyncio.run(new_database(self._administration, own, migrated))
        place = Place(
            own,
            database_address(self.stack.postgres.url, own),
            self.stack.kafka,
            self.data,
        )
        with environment(place.environment):
            try:
                asyncio.run(prepare(place.kafka, partitions))
                yield place
            finally:
                place.stop()
                asyncio.run(run_sql(self._administration, f"DROP DATABASE {own} WITH (FORCE)"))

    def clock(self, workers: Sequence[Worker] = ()) -> "Clock":
        """A clock that also counts what the servers and these workers compute; without workers,
        this process itself.
        """
        return Clock(self, [worker.pid for worker in workers if worker.pid] or [os.getpid()])

    def memory(self, workers: Sequence[Worker]) -> dict[str, int]:
        """MiB of every process now: private and its share of what is common; of PostgreSQL all
        its processes together.
        """
        found = {worker.name: _share([worker.pid]) for worker in workers if worker.pid}
        return found | {
            "kafka": _share([self.stack.kafka.pid]),
            "postgres": _share(self.postgres_pids()),
        }

    def postgres_pids(self) -> list[int]:
        """The postmaster and its children."""
        if self.stack.postgres.pid is None:
            return []
        postmaster = psutil.Process(self.stack.postgres.pid)
        return [postmaster.pid, *(child.pid for child in postmaster.children(recursive=True))]


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment: the time, and the seconds that all processes of a measurement have computed so
    far.
    """

    at: float
    computed: float


@dataclass(frozen=True, slots=True)
class Took:
    """So many messages in so many seconds, and the seconds of processor time that they cost, the
    servers' included.
    """

    messages: int
    seconds: float
    computed: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of processor time a message."""
        return self.computed / self.messages * 1e6


@dataclass(frozen=True)
class Clock:
    """Time, and processor time.

    On a machine that others use, too, a process waits for its turn: then the second one tells more.
    """

    bench_servers: BenchServers
    pids: Sequence[int]

    def now(self) -> Instant:
        """This moment."""
        own = sum(computed(pid) for pid in self.pids)
        return Instant(
            time.perf_counter(),
            own
            + computed(self.bench_servers.stack.kafka.pid)
            + sum(computed(pid) for pid in self.bench_servers.postgres_pids()),
        )

    def took(self, messages: int, since: Instant) -> Took:
        """What so many messages took since a moment."""
        until = self.now()
        return Took(messages, until.at - since.at, max(until.computed - since.computed, 1e-6))


def computed(pid: int | None) -> float:
    """Seconds of processor time of a process, with those of its children that have ended."""
    try:
        times = psutil.Process(pid).cpu_times() if pid else None
    except psutil.Error:
        return 0.0
    return (
        0.0
        if times is None
        else times.user + times.system + times.children_user + times.children_system
    )


@contextmanager
def bench_servers(data: Path, say: Callable[[str], None]) -> Iterator[BenchServers]:
    """Kafka and PostgreSQL with an empty, migrated database from which every place is copied."""
    with environment({"BACKOFFICE_WORKERS": ""}), running_stack(data, say=say) as stack:
        yield BenchServers(stack, data)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while the block runs; the settings are read anew."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    settings.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        settings.cache_clear()


async def until(
    asked: Callable[[], Awaitable[bool]],
    what: str,
    pause: float = PAUSE_SECONDS,
    patience: float = SETTLE_SECONDS,
) -> float:
    """Waits until it is so; the clock at which it was seen."""
    deadline = time.perf_counter() + patience
    while not await asked():
        if time.perf_counter() > deadline:
            raise TimeoutError(
                f"{what} did not come about within {patience:.0f} s; the logs of the workers lie"
                " in the data folder of the run"
            )
        await asyncio.sleep(pause)
    return time.perf_counter()


def metrics(worker: Worker) -> str:
    """What a worker shows on its metrics page."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{HOST}:{worker.port}/metrics", timeout=10) as page:
        return str(page.read().decode())


def _share(pids: Sequence[int | None]) -> int:
    """MiB of processes together: what two of them share counts once."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().pss
        except psutil.Error:
            continue
    return total // MEBIBYTE


def private_memory(pids: Sequence[int]) -> int:
    """MiB that these processes have for themselves alone."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().uss
        except psutil.Error:
            continue
    return total // MEBIBYTE


def forget_peak(pid: int) -> None:
    """Lets the kernel count the peak of a process anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_memory(pid: int) -> int:
    """MiB that a process held at most since the last forgetting."""
    line = next(
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    return int(line.split()[1]) // 1024
