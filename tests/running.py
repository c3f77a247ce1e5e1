"""Workers as real processes, for system tests: start, publish, wait, digest every table.

Nothing here depends on the meaning of a message; a test defines what is sent and what the tables
must contain afterwards.
"""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.actions.signer import find_signer
from shared.broker.security import kafka_access
from shared.broker.topics import (
    COMMAND_RESULTS,
    CONSUMED,
    OPERATOR_COMMANDS,
    all_topics,
    full_name,
)
from shared.consumer.lag import LagReader, groups_of
from shared.events.commands import AnyCommand, key_of
from shared.settings import settings
from shared.signing import HEADER, Signer
from shared.stack.workers import module_of
from shared.verify import Report, verify
from tests.conftest import EngineOf
from tests.kafka_users import as_user

PATIENCE_SECONDS = 120.0
STOP_SECONDS = 60.0
ROOT = Path(__file__).parents[1]
WORKERS = ("fee_realizer", "invoicer", "scheduler")


def starts_of(service: str) -> dict[str, tuple[str, ...]]:
    """The two commands that start a worker, after `python`; both run the same application
    object.
    """
    return {
        "python -m": ("-m", f"services.{service}.app"),
        "faststream run": ("-m", "faststream", "run", f"services.{service}.app:app"),
    }


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Running:
    """A worker process."""

    service: str
    process: asyncio.subprocess.Process
    port: int
    log: Path

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of a page of its health server; 0 while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    async def stop(self) -> None:
        """Stop it with SIGTERM; its exit code must be 0."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        assert self.process.returncode == 0, (
            f"{self.service} ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}"
        )


async def start(
    service: str, environment: dict[str, str], folder: Path, *command: str, **settings_of_it: object
) -> Running:
    """Start a worker with settings by name; `command` replaces `-m services.X.app`."""
    port = free_port()
    given = {"http_port": port, "sweep_seconds": 0.3, "log_format": "json"} | settings_of_it
    own = as_user(environment, service) | {
        f"BACKOFFICE_{name.upper()}": str(value) for name, value in given.items()
    }
    log = folder / f"{service}-{given.get('replica', '1')}-{uuid.uuid4().hex[:6]}.log"
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(command or ("-m", module_of(service))),
            env=own,
            cwd=ROOT,
            stderr=sink,
            stdout=sink,
        )
    return Running(service, process, port, log)


@contextlib.asynccontextmanager
async def running(
    environment: dict[str, str], folder: Path, *services: str, **settings_of_them: object
) -> AsyncIterator[list[Running]]:
    """Workers of these services; stopped at the end, killed if the test failed."""
    workers = [
        await start(service, environment, folder, **settings_of_them)
        for service in services or WORKERS
    ]
    try:
        yield workers
        await asyncio.gather(*(worker.stop() for worker in workers))
    finally:
        for worker in workers:
            if worker.process.returncode is None:
                worker.process.kill()
                await worker.process.wait()


async def until(
    what: str,
    holds: Callable[[], Awaitable[Any]],
    within: float = PATIENCE_SECONDS,
    every: float = 0.1,
) -> Any:
    """Wait until a condition holds and return its value; fail with its description."""
    last = time.monotonic() + within
    while True:
        found = await holds()
        if found:
            return found
        if time.monotonic() > last:
            pytest.fail(f"after {within:.0f} s still not: {what}")
        await asyncio.sleep(every)


@dataclass
class Pauses:
    """Points at which a process pauses; that process has this folder as its setting `pause`."""

    folder: Path

    def hold(self, point: str) -> None:
        """From now on a process that reaches the point pauses there."""
        (self.folder / f"{point}.reached").unlink(missing_ok=True)
        (self.folder / f"{point}.hold").touch()

    async def reached(self, point: str) -> None:
        """Wait until a process has reached the point."""
        mark = self.folder / f"{point}.reached"
        await until(
            f"a process at {point} ({self.folder})",
            lambda: asyncio.to_thread(mark.exists),
            every=0.02,
        )

    def release(self, point: str) -> None:
        """Release the process that pauses there."""
        (self.folder / f"{point}.hold").unlink()


# -- what is sent


@dataclass(frozen=True, slots=True)
class Sent:
    """A record as it is put on a topic; without a partition its key decides."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def event(
    topic: str, key: str, body: BaseModel | dict[str, Any], partition: int | None = None
) -> Sent:
    """A record that holds an event."""
    value = (
        body.model_dump_json(exclude_none=False)
        if isinstance(body, BaseModel)
        else json.dumps(body)
    )
    return Sent(topic, key.encode(), value.encode(), partition)


def command(asked: AnyCommand, partition: int | None = None) -> Sent:
    """A record that holds a command."""
    return event("operator-commands", key_of(asked), asked, partition)


async def publish(records: Iterable[Sent]) -> None:
    """Put records on their topics, each partition in the given order, and await all
    acknowledgements. Commands are signed if the setting `key_file` names a key.
    """
    signer = own_signer()
    producer = AIOKafkaProducer(
        **kafka_access().client_options(),
        enable_idempotence=True,
        acks="all",
        linger_ms=5,
        max_batch_size=256 * 1024,
    )
    await producer.start()
    try:
        waiting = [
            await producer.send(
                full_name(one.topic),
                one.value,
                key=one.key,
                partition=one.partition,
                headers=headers_of(one, signer),
            )
            for one in records
        ]
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


def own_signer() -> Signer | None:
    """The key with which this process signs; None if the setting `key_file` names none."""
    return find_signer() if settings().key_file else None


def headers_of(one: Sent, signer: Signer | None) -> list[tuple[str, bytes | None]]:
    """The headers of a record: its own, or a signature if it is a command."""
    if signer is None or one.headers or one.topic != OPERATOR_COMMANDS.name or not one.value:
        return list(one.headers)
    return [(HEADER, signer.sign(one.value, time.time(), json.loads(one.value)["actor"]))]


# -- what is on the topics


async def ends(topics: Iterable[str]) -> dict[str, int]:
    """The number of records that each topic ever had, over its partitions."""
    async with AIOKafkaConsumer(**kafka_access().client_options()) as consumer:
        found = await consumer.end_offsets(
            [one for topic in topics for one in await partitions_of(consumer, topic)]
        )
    counted: dict[str, int] = {}
    for one, end in found.items():
        counted[one.topic.removeprefix(settings().topic_prefix)] = (
            counted.get(one.topic.removeprefix(settings().topic_prefix), 0) + end
        )
    return counted


async def records_of(topic: str) -> list[Any]:
    """All records of a topic, partition by partition."""
    found: list[Any] = []
    async with AIOKafkaConsumer(**kafka_access().client_options()) as consumer:
        partitions = await partitions_of(consumer, topic)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        last = await consumer.end_offsets(partitions)
        while any([await consumer.position(one) < last[one] for one in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
    return found


async def answers(*command_ids: str) -> dict[str, list[dict[str, Any]]]:
    """Every answer to these commands (to all if none is named), in the order of their partition."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in await records_of(COMMAND_RESULTS.name):
        body = json.loads(one.value)
        if not command_ids or body["command_id"] in command_ids:
            found.setdefault(body["command_id"], []).append(body)
    return found


async def answered(*asked: AnyCommand, partition: int | None = None) -> list[dict[str, Any]]:
    """Send commands one after the other; return their answers."""
    await publish(command(one, partition) for one in asked)
    ids = [one.command_id for one in asked]

    async def all_there() -> dict[str, list[dict[str, Any]]] | None:
        found = await answers(*ids)
        return found if len(found) == len(set(ids)) else None

    found = await until(f"an answer to {', '.join(ids)}", all_there)
    return [found[an_id][-1] for an_id in ids]


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """The partitions of a topic, which is named without prefix."""
    await consumer._client._wait_on_metadata(full_name(topic))
    return [
        TopicPartition(full_name(topic), number)
        for number in sorted(consumer.partitions_for_topic(full_name(topic)) or ())
    ]


# -- what is in the tables


OUTBOX = (
    "SELECT (SELECT count(*) FROM fee_realizer.outbox) + (SELECT count(*) FROM invoicer.outbox) +"
    " (SELECT count(*) FROM scheduler.outbox)"
)  # fmt: skip
MOVING = (
    "SELECT (SELECT count(*) FROM fee_realizer.pricing_queue) + (SELECT count(*) FROM"
    " invoicer.stale_price_basis)"
    " + (SELECT count(*) FROM fee_realizer.latest_realization l LEFT JOIN"
    " invoicer.settled_document s USING (document_kind, document_id)"
    "    WHERE coalesce(s.realization_no, 0) < l.realization_no)"
)


@dataclass
class Observer:
    """Read topics and tables from outside.

    `sweeping`: the workers sweep often, so their outbox is soon empty.
    """

    engine_of: EngineOf
    services: Sequence[str] = WORKERS
    sweeping: bool = True
    _calm: int = field(default=0)

    async def select(self, sql: str, **values: Any) -> list[Any]:
        """Rows."""
        async with self.engine_of("owner").connect() as connection:
            return list((await connection.execute(text(sql), values)).all())

    async def one(self, sql: str, **values: Any) -> Any:
        """The one value of a query."""
        ((value,),) = await self.select(sql, **values)
        return value

    async def settled(self, within: float = PATIENCE_SECONDS) -> None:
        """Wait until nothing moves, twice in a row.

        All groups have consumed all, and nothing waits to be priced, settled or published.
        """
        async with LagReader(kafka_access()) as lag:

            async def calm() -> bool:
                behind = sum(one.behind for one in await lag.lag(groups_of(self.services)))
                still = behind == 0 and not await self._moving()
                self._calm = self._calm + 1 if still else 0
                return self._calm >= 2

            await until("nothing moves", calm, within, every=0.2)

    async def _moving(self) -> int:
        under_way = (
            await self.one(MOVING)
            if "invoicer" in self.services
            else await self.one("SELECT count(*) FROM fee_realizer.pricing_queue")
        )
        return int(under_way) + (int(await self.one(OUTBOX)) if self.sweeping else 0)

    async def digest(self, but: frozenset[str] = frozenset()) -> dict[str, str]:
        """A digest of every row of every table of every schema, by table."""
        async with self.engine_of("owner").connect() as connection:
            tables = await connection.execute(text(TABLES))
            names = [f"{row.schema}.{row.name}" for row in tables]
            return {name: await _digest(connection, name) for name in names if name not in but}

    async def verified(self) -> Report:
        """The report of `verify`."""
        async with self.engine_of("auditor").connect() as connection:
            return await verify(connection)

    async def waiting_for_locks(self) -> int:
        """How many connections of this database wait for a lock."""
        return int(
            await self.one(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND"
                " wait_event_type = 'Lock'"
            )
        )


TABLES = (
    "SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid ="
    " c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND"
    " n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2"
)


async def _digest(connection: AsyncConnection, table: str) -> str:
    sql = (
        "SELECT count(*) || ':' || coalesce(md5(string_agg(md5(t::text), ''"
        f" ORDER BY md5(t::text))), '') FROM {table} t"
    ).replace("::", "\\:\\:")
    return str(await connection.scalar(text(sql)))


OUTPUT = tuple(
    topic.name
    for topic in all_topics()
    if topic.name
    not in {consumed.name for of in CONSUMED.values() for consumed in of} - {"pay-lines-realized"}
)
"""Every topic that a service writes to."""
