"""Run a workload while workers and servers are killed, and examine the result."""

import asyncio
import json
import random
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shared.broker.acls import ADMIN, CONSOLE
from shared.database import engine_for
from shared.events.commands import AnyCommand
from shared.migrations.__main__ import migrate
from shared.settings import PREFIX
from shared.stack.kafka import KafkaServer
from shared.stack.postgres import PostgresServer
from shared.verify import verify
from tests import builders
from tests.conftest import Configure, as_superuser, database_address, new_database
from tests.kafka_users import prepare
from tests.running import Observer, Sent, answers, command, publish, records_of, until
from tests.signed import Senders
from tests.system.driver import Keeper, kept
from tests.system.dump import dump
from tests.system.workload import TODAY, Phase, Workload

SETTLE_SECONDS = 240.0
FIRE_SECONDS = 240.0
ANSWER_SECONDS = 45.0
TRIES = 5
HOLD_EVERY = 9
REPEATS = 20


@dataclass
class Servers:
    """A Kafka and a PostgreSQL that may be killed, and their folder."""

    folder: Path
    kafka: KafkaServer
    postgres: PostgresServer

    def crash(self, which: str) -> None:
        """kill -9 of the JVM, or of all processes of PostgreSQL; restart on the same data."""
        server = self.kafka if which == "kafka" else self.postgres
        server.kill()
        server.start()


@contextmanager
def servers(disk_megabytes: int | None = None) -> Iterator[Servers]:
    """Servers of their own, whatever the settings: those of the session must not be killed.

    `disk_megabytes` gives their folder a file system of that size, which a test may fill (as root).
    """
    folder = Path(tempfile.mkdtemp(prefix="backoffice-kills-"))
    if disk_megabytes is not None:
        size = f"size={disk_megabytes}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    folder.chmod(0o755)
    made = Servers(folder, KafkaServer(folder, print), PostgresServer(folder, print))
    try:
        made.postgres.start()
        made.kafka.start()
        yield made
    finally:
        made.kafka.stop()
        made.postgres.stop()
        if disk_megabytes is not None:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Run:
    """A database and topics of its own."""

    servers: Servers
    environment: dict[str, str]
    folder: Path
    url: str
    observer: Observer
    refused: list[str] = field(default_factory=list)

    async def verified(self) -> list[str]:
        """The findings of verify as text; realizations in flight count, because nothing moves."""
        engine = engine_for("auditor", self.url)
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                report = await verify(connection, in_flight_minutes=0)
        finally:
            await engine.dispose()
        return [str(fault) for fault in report.faults]


@dataclass(frozen=True)
class Deaths:
    """By phase: crash points that a service meets while it consumes or answers, and a server."""

    consuming: Mapping[int, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    answering: Mapping[int, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    servers: Mapping[int, str] = field(default_factory=dict)


@asynccontextmanager
async def new_run(
    made: Servers, configure: Configure, *, signed: bool = False
) -> AsyncIterator[Run]:
    """An empty database. The settings of this process point to it.

    Where commands are `signed`, this process signs them and the workers carry out no other.
    """
    name = f"run_{uuid.uuid4().hex[:10]}"
    await new_database(made.postgres.admin_url, name)
    url = database_address(made.postgres.url, name)
    await migrate(url)
    folder = made.folder / name
    folder.mkdir()
    for setting, value in made.kafka.access(ADMIN).environment().items():
        configure(**{setting.removeprefix(PREFIX): value})
    configure(
        database_url=url,
        topic_prefix=f"{name}.",
        partitions=2,
        today=TODAY,
    )
    await prepare(made.kafka)
    engine = create_async_engine(as_superuser(url), poolclass=NullPool)

    def owner(role: str) -> AsyncEngine:
        return engine

    environment = {
        **made.kafka.access(CONSOLE).environment(),
        "BACKOFFICE_DATABASE_URL": url,
        "BACKOFFICE_TOPIC_PREFIX": f"{name}.",
        "BACKOFFICE_TODAY": str(TODAY),
        "BACKOFFICE_TICK_SECONDS": "0.5",
        "BACKOFFICE_COMMANDS": "open",
        "PATH": "/usr/bin:/bin",
    }
    if signed:
        environment |= await Senders(engine).sign_everything(configure, folder)
    yield Run(made, environment, folder, url, Observer(owner))
    await engine.dispose()


async def play(
    run: Run, workload: Workload, keeper: Keeper, deaths: Deaths | None = None
) -> list[Sent]:
    """Send the phases and their commands, each when nothing moves; meanwhile `deaths` happen."""
    sent: list[Sent] = []
    deaths = deaths or Deaths()
    async with kept(keeper):
        for number, phase in enumerate(workload.phases()):
            sent += phase.records
            _arm(keeper, deaths.consuming.get(number, {}))
            await publish(phase.records)
            if number in deaths.servers:
                await asyncio.sleep(1.0)
                await asyncio.to_thread(run.servers.crash, deaths.servers[number])
            await _all_fired(keeper, sent, workload.rng)
            await wait_until_quiet(run)
            _arm(keeper, deaths.answering.get(number, {}))
            await ask(run, await snoozes_and_edits(run, phase))
            await ask(run, phase.commands)
            await _all_fired(keeper, sent, workload.rng, phase.commands)
            await wait_until_quiet(run)
    return sent


def _arm(keeper: Keeper, points: Mapping[str, Sequence[str]]) -> None:
    for service, of_one in points.items():
        keeper.arm(service, of_one)


async def _all_fired(
    keeper: Keeper, sent: Sequence[Sent], rng: random.Random, asked: Sequence[AnyCommand] = ()
) -> None:
    """Send the same records again until every crash point has fired; repeats change nothing."""
    good = [one for one in sent if named(one.value) is not None]
    last = asyncio.get_running_loop().time() + FIRE_SECONDS
    while keeper.waiting and asyncio.get_running_loop().time() < last:
        await asyncio.sleep(1.0)
        said = await records_of("pay-lines-realized")
        repeats = [
            Sent("pay-lines-realized", one.key, one.value)
            for one in rng.sample(said, min(len(said), REPEATS))
        ]
        by_topic: dict[str, list[Sent]] = {}
        for one in good:
            by_topic.setdefault(one.topic, []).append(one)
        repeats += [
            one
            for of_topic in by_topic.values()
            for one in rng.sample(of_topic, min(len(of_topic), REPEATS))
        ]
        await publish(repeats + [command(one) for one in asked])


async def wait_until_quiet(run: Run) -> None:
    """Wait until nothing moves, whatever fails meanwhile."""

    async def calm() -> bool:
        try:
            await run.observer.settled(SETTLE_SECONDS)
        except (KafkaError, DBAPIError, OSError):
            return False
        return True

    await until("nothing moves", calm, SETTLE_SECONDS, every=0.5)


async def snoozes_and_edits(run: Run, phase: Phase) -> list[AnyCommand]:
    """Snoozes and edits of lines, found by business key, so that every run has the same."""
    if not (phase.holds or phase.edits):
        return []
    lines = await run.observer.select(
        "SELECT p.pay_line_id, p.billing_company, p.document_id FROM invoicer.open_line o JOIN"
        " invoicer.pay_line p USING (pay_line_id)"
        " WHERE p.line_kind = 'timesheet' ORDER BY p.document_id, p.line_key"
    )
    asked: list[AnyCommand] = []
    for at, line in enumerate(lines[::HOLD_EVERY][: phase.holds + phase.edits]):
        about: dict[str, Any] = {
            "billing_company": line.billing_company,
            "command_id": f"mark-{line.document_id}-{at}",
            "reason": "asked by the client",
        }
        if at < phase.holds:
            asked.append(
                builders.command("snooze-pay-lines", pay_line_ids=[line.pay_line_id], **about)
            )
        else:
            asked.append(
                builders.command(
                    "edit-pay-line", pay_line_id=line.pay_line_id, quantity="3.5", **about
                )
            )
    return asked


async def ask(run: Run, commands: Sequence[AnyCommand]) -> None:
    """Send independent commands; those without an answer are sent again under the same id."""
    left = {one.command_id: one for one in commands}
    for _ in range(TRIES):
        if not left:
            return
        await publish([command(one) for one in left.values()])
        last = asyncio.get_running_loop().time() + ANSWER_SECONDS
        while left and asyncio.get_running_loop().time() < last:
            await asyncio.sleep(0.3)
            for an_id, found in (await answers(*left)).items():
                del left[an_id]
                if found[0]["outcome"] != "accepted":
                    run.refused.append(json.dumps(found[0]))
    assert not left, f"never answered: {sorted(left)}"


async def unaccounted(observer: Observer, sent: Sequence[Sent]) -> list[str]:
    """Compare the journal of what was sent with the tables, one by one.

    Each record is a revision or a dead letter, and nothing else exists.
    """
    dead_letters = {
        bytes(row[0])
        for row in await observer.select("SELECT record_value FROM fee_realizer.dead_letter")
    }
    kept = {
        "timesheet-approved": "SELECT source_id || '@' || revision"
        " FROM fee_realizer.source_revision WHERE document_kind = 'timesheet'",
        "placement-created": "SELECT source_id || '@' || revision"
        " FROM fee_realizer.source_revision WHERE document_kind = 'placement'",
        "requirement-changed": "SELECT requirement_id || '@' || revision"
        " FROM fee_realizer.requirement_revision",
        "billto-changed": "SELECT node_id || '@' || revision FROM invoicer.billto_revision",
    }
    there = {topic: {row[0] for row in await observer.select(sql)} for topic, sql in kept.items()}
    due: dict[str, set[str]] = {topic: set() for topic in kept}
    bad = {one.value for one in sent if named(one.value) is None}
    missing = [
        f"{value!r} is a dead letter and was never sent" for value in sorted(dead_letters - bad)
    ]
    for one in sent:
        name = named(one.value)
        if name is None:
            missing += (
                []
                if one.value in dead_letters
                else [f"{one.topic}: {one.value!r} is no dead letter"]
            )
            continue
        due[one.topic].add(name)
    for topic in kept:
        missing += [
            f"{topic} {name} was sent and is not in the tables"
            for name in sorted(due[topic] - there[topic])
        ]
        missing += [
            f"{topic} {name} is in the tables and was never sent"
            for name in sorted(there[topic] - due[topic])
        ]
    return missing


def named(value: bytes | None) -> str | None:
    """The stored revision of a record; None if it is unreadable."""
    if value is None:
        return None
    try:
        body = json.loads(value)
        if len(json.loads(value, object_pairs_hook=list)) != len(body):
            return None
        an_id = next(
            body[key]
            for key in ("timesheet_id", "placement_id", "node_id", "requirement_id")
            if key in body
        )
        return f"{an_id}@{body['revision']}"
    except (ValueError, TypeError, KeyError, StopIteration):
        return None


async def business_dump(run: Run) -> dict[str, list[str]]:
    """The business dump of a run."""
    return await dump(run.observer)
