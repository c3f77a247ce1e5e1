"""Random faults while a month is priced, billed, credited and re-priced.

Every fault is logged with its time. Each phase is sent in parts; one fault falls into each part.
Then everything that was stopped runs again and the phase must come to rest.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.broker.security import kafka_access
from shared.broker.topics import all_topics, full_name
from shared.events.commands import AnyCommand
from tests import builders
from tests.running import (
    WORKERS,
    Sent,
    command,
    event,
    headers_of,
    own_signer,
    partitions_of,
    until,
)
from tests.system.driver import Keeper, Kept, kept
from tests.system.kill_runs import Run, ask, named, snoozes_and_edits, wait_until_quiet
from tests.system.workload import WEEKS, Workload

CODECS = (None, "gzip", "lz4", "snappy", "zstd")
SENDING_SECONDS = 120.0
TRANSACTION_MS = 10_000
"""A transaction whose producer was cut off ends by itself after this time."""
REPEATS = 10
STORMY_REVISION = 9_000_000
"""Revision numbers of aborted records: they would replace everything if they were read."""


@dataclass
class StormPhase:
    """Records that are sent, then rounds of commands, each found when nothing moves."""

    records: Sequence[Sent]
    rounds: Sequence[Callable[[Run], Awaitable[list[AnyCommand]]]]


@dataclass
class Month:
    """The phases of a seed: the month of the kill runs, with credits and rates between batches."""

    workload: Workload
    _written_off: list[tuple[str, str]] = field(default_factory=list)
    _changed: list[str] = field(default_factory=list)

    def phases(self) -> list[StormPhase]:
        """Facts; the month and its batches; credits, rates and corrections; a last batch."""
        facts, month, first, second = self.workload.phases()

        def fixed(commands: Sequence[AnyCommand]) -> Callable[[Run], Awaitable[list[AnyCommand]]]:
            async def asked(run: Run) -> list[AnyCommand]:
                return list(commands)

            return asked

        async def marks(run: Run) -> list[AnyCommand]:
            return await snoozes_and_edits(run, month)

        last = [
            each.model_copy(
                update={"command_id": f"{each.command_id}-last", "cut_off_date": date(2026, 11, 1)}
            )
            for each in first.commands
        ]
        return [
            StormPhase(facts.records, [fixed(facts.commands)]),
            StormPhase(month.records, [marks, fixed(month.commands)]),
            StormPhase([], [self.credits, self.rates, self.confirmed]),
            StormPhase(first.records, [fixed(first.commands)]),
            StormPhase(second.records, [self.taken_back, fixed(last)]),
        ]

    async def credits(self, run: Run) -> list[AnyCommand]:
        """Every third invoice is credited: to rebill, written off, in part, or issued again."""
        documents = await run.observer.select(
            "SELECT billing_company, invoice_number FROM invoicer.invoice"
            " WHERE document_type = 'invoice' AND total > 0 ORDER BY billing_company, number"
        )
        kinds: tuple[dict[str, Any], ...] = (
            {"to": "write-off"},
            {"to": "rebill", "lines": [{"line_no": 1}]},
            {"to": "reissue"},
        )
        self._written_off = [
            (row.billing_company, row.invoice_number) for row in documents[:: 2 * len(kinds)]
        ]
        return [
            builders.command(
                "credit-invoice",
                billing_company=row.billing_company,
                invoice_number=row.invoice_number,
                reason="storm",
                command_id=f"credit-{row.invoice_number}",
                **kinds[at % len(kinds)],
            )
            for at, row in enumerate(documents[::2])
        ]

    async def rates(self, run: Run) -> list[AnyCommand]:
        """Another rate for two requirements of documents that were not credited."""
        found = await run.observer.select(
            "SELECT DISTINCT l.requirement_id FROM invoicer.closed_invoice_line l"
            " JOIN invoicer.invoice i USING (invoice_id)"
            " WHERE l.time_type = 'REG' AND l.service_from >= '2026-10-14'"
            " AND NOT EXISTS (SELECT FROM invoicer.pay_line c"
            "   WHERE c.corrects_invoice_id = i.invoice_id) ORDER BY 1"
        )
        self._changed = [row.requirement_id for row in found][:2]
        return [
            self._rate("set-bill-rate", requirement, bill_rate="48.8125")
            for requirement in self._changed
        ]

    async def confirmed(self, run: Run) -> list[AnyCommand]:
        """The new rates are billed on invoiced lines, too."""
        return [self._rate("confirm-rates", requirement) for requirement in self._changed]

    async def taken_back(self, run: Run) -> list[AnyCommand]:
        """One invoice that was written off is issued again."""
        company, number = self._written_off[0]
        return [
            builders.command(
                "credit-invoice",
                billing_company=company,
                invoice_number=number,
                to="reissue",
                reason="storm",
                command_id=f"taken-back-{number}",
            )
        ]

    def _rate(self, kind: str, requirement: str, **values: str) -> AnyCommand:
        return builders.command(
            kind,
            requirement_id=requirement,
            time_type="REG",
            effective_from="2026-10-14",
            reason="storm",
            command_id=f"{self.workload.seed}-{kind}-{requirement}",
            **values,
        )


@dataclass
class Storm:
    """Faults of one seed, on one run. `only`: the kinds to draw from; all by default."""

    run: Run
    keeper: Keeper
    seed: int
    faults: int
    only: Sequence[str] = ()
    happened: Counter[str] = field(default_factory=Counter)
    sent: list[Sent] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        kinds = {
            name: drawn
            for name, drawn in self.kinds().items()
            if not self.only or name in self.only
        }
        names = [name for name, (weight, _) in kinds.items() for _ in range(weight)]
        self._plan = [*kinds, *self.rng.choices(names, k=max(0, self.faults - len(kinds)))]
        self._plan = self._plan[: self.faults]
        self.rng.shuffle(self._plan)

    def kinds(self) -> dict[str, tuple[int, Callable[[], Awaitable[None]]]]:
        """Each fault with how often it is drawn."""
        return {
            "kill a worker": (4, self.kill_worker),
            "stop a worker for 7 s": (2, self.freeze_worker),
            "terminate a worker": (2, self.terminate_worker),
            "a second worker": (2, self.second_worker),
            "kill Kafka": (2, self.kill_kafka),
            "stop Kafka for 8 s": (1, self.freeze_kafka),
            "kill PostgreSQL": (2, self.kill_postgres),
            "end all connections": (3, self.end_connections),
            "full disk": (2, self.full_disk),
            "aborted transaction": (3, self.aborted_transaction),
            "open transaction": (3, self.open_transaction),
            "repeats in every codec": (3, self.repeats),
        }

    async def play(self, phases: Sequence[StormPhase]) -> None:
        """Send all phases; the faults are spread over their parts."""
        slots = sum(1 + len(phase.rounds) for phase in phases[1:]) + len(phases[0].rounds)
        each = -(-len(self._plan) // slots) if self._plan else 0
        async with kept(self.keeper):
            for number, phase in enumerate(phases):
                bad = [one for one in phase.records if named(one.value) is None]
                good = [one for one in phase.records if named(one.value) is not None]
                await self.send(bad)
                await self._stormy(good, each if number else 0)
                await self._rest()
                for asks in phase.rounds:
                    asked = await asks(self.run)
                    await self._stormy([], each, asked)
                    await ask(self.run, asked)
                    await self._rest()

    async def _stormy(
        self, records: Sequence[Sent], faults: int, asked: Sequence[AnyCommand] = ()
    ) -> None:
        """Send records in as many parts as there are faults, or the same commands each time."""
        here, self._plan = self._plan[:faults], self._plan[faults:]
        if not here:
            await self.send(records)
            return
        for at, name in enumerate(here):
            part = records[at :: len(here)]
            orders = [command(one) for one in asked]
            print(f"{time.monotonic() - self.began:7.1f} s  {name}", flush=True)
            self.happened[name] += 1
            await asyncio.gather(
                self.send(part), self.send(orders, journal=False), self.kinds()[name][1]()
            )
            await self.heal()

    async def send(self, records: Sequence[Sent], *, journal: bool = True) -> None:
        """Publish until Kafka has acknowledged all, with a random codec; journal what was sent."""
        if journal:
            self.sent += records
        codec = None if self._calm else self.rng.choice(CODECS)
        last, signer = time.monotonic() + SENDING_SECONDS, own_signer()
        while records:
            try:
                async with AIOKafkaProducer(
                    **kafka_access().client_options(),
                    enable_idempotence=True,
                    acks="all",
                    compression_type=codec,
                ) as producer:
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
                return
            except (KafkaError, OSError):
                if time.monotonic() > last:
                    raise
                await asyncio.sleep(0.5)

    async def _rest(self) -> None:
        """Wait until no transaction is open, all is read and nothing moves.

        Lag alone does not tell: what follows an open transaction is not to be read yet.
        """
        await until("no transaction is open", _no_open_transaction, SENDING_SECONDS)
        await wait_until_quiet(self.run)

    @property
    def _calm(self) -> bool:
        return not self.faults

    async def heal(self) -> None:
        """Start every server that does not run. The keeper restarts workers."""
        for server in (self.run.servers.postgres, self.run.servers.kafka):
            if not server.alive:
                await asyncio.to_thread(server.start)

    # -- workers

    def _worker(self) -> Kept:
        return self.keeper.worker(self.rng.choice(WORKERS))

    async def _a_moment(self) -> None:
        await asyncio.sleep(self.rng.uniform(0, 0.8))

    async def kill_worker(self) -> None:
        """kill -9 anywhere."""
        await self._a_moment()
        self._worker().send(signal.SIGKILL)

    async def freeze_worker(self) -> None:
        """Longer than its session at the broker: it comes back as a member that was expelled."""
        worker = self._worker()
        await self._a_moment()
        worker.send(signal.SIGSTOP)
        await asyncio.sleep(7)
        worker.send(signal.SIGCONT)

    async def terminate_worker(self) -> None:
        """SIGTERM from outside, twice."""
        worker = self._worker()
        await self._a_moment()
        worker.send(signal.SIGTERM)
        await asyncio.sleep(0.2)
        worker.send(signal.SIGTERM)

    async def second_worker(self) -> None:
        """Another member of a group joins and is killed: two rebalances."""
        other = self.keeper.start(self.rng.choice(WORKERS))
        await asyncio.sleep(5)
        other.send(signal.SIGKILL)
        await other.end()

    # -- servers

    async def kill_kafka(self) -> None:
        """kill -9 and a restart on the same data."""
        await self._a_moment()
        await asyncio.to_thread(self.run.servers.crash, "kafka")

    async def kill_postgres(self) -> None:
        """kill -9 of all its processes and a restart on the same data."""
        await self._a_moment()
        await asyncio.to_thread(self.run.servers.crash, "postgres")

    async def freeze_kafka(self) -> None:
        """The broker gives no answer for 8 s."""
        pid = self.run.servers.kafka.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(8)
        os.kill(pid, signal.SIGCONT)

    async def end_connections(self) -> None:
        """PostgreSQL ends every connection, in the middle of transactions."""
        await self._a_moment()
        engine = create_async_engine(
            self.run.servers.postgres.admin_url, isolation_level="AUTOCOMMIT", poolclass=NullPool
        )
        with contextlib.suppress(Exception):
            async with engine.connect() as connection:
                await connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
                    )
                )
        await engine.dispose()

    async def full_disk(self) -> None:
        """No byte is left for Kafka, PostgreSQL and the logs of the workers, for some seconds."""
        ballast = self.run.servers.folder / "ballast"
        try:
            await asyncio.to_thread(_fill, ballast)
            await asyncio.sleep(self.rng.uniform(3, 6))
        finally:
            ballast.unlink(missing_ok=True)
        await asyncio.sleep(1)

    # -- records

    def _aborted(self) -> list[Sent]:
        """A new timesheet, and a late revision of a known one: no reader may ever see them."""
        known = [one for one in self.sent if one.topic == "timesheet-approved"]
        good = [one for one in known if named(one.value) is not None]
        entries = [builders.entry("8", WEEKS[0], "REG", "REQ-1")]
        ids = [f"ABORTED-{len(self.sent)}-{self.rng.random()}"]
        ids += [one.key.decode() for one in self.rng.sample(good, min(1, len(good))) if one.key]
        return [
            event(
                "timesheet-approved",
                an_id,
                builders.timesheet(
                    an_id, STORMY_REVISION, week_ending=str(WEEKS[0]), entries=entries
                ),
            )
            for an_id in ids
        ]

    async def _transaction(self, records: Sequence[Sent], seconds: float, commit: bool) -> None:
        try:
            async with AIOKafkaProducer(
                **kafka_access().client_options(),
                transactional_id=f"storm-{self.seed}-{self.rng.random()}",
                transaction_timeout_ms=TRANSACTION_MS,
            ) as producer:
                await producer.begin_transaction()
                waiting = [
                    await producer.send(full_name(one.topic), one.value, key=one.key)
                    for one in records
                ]
                await asyncio.gather(*waiting)
                await asyncio.sleep(seconds)
                await (producer.commit_transaction() if commit else producer.abort_transaction())
        except (KafkaError, OSError) as error:
            print(f"          the transaction failed: {error!r}")

    async def aborted_transaction(self) -> None:
        """What a producer wrote and took back has no effect."""
        await self._transaction(self._aborted(), 0, commit=False)

    async def open_transaction(self) -> None:
        """A transaction holds back what follows it, and is then committed or aborted."""
        repeated = self._repeated()
        commit = bool(repeated) and self.rng.random() < 0.5
        await self._transaction(
            repeated if commit else self._aborted(), self.rng.uniform(2, 6), commit=commit
        )

    def _repeated(self) -> list[Sent]:
        good = [one for one in self.sent if named(one.value) is not None]
        return self.rng.sample(good, min(len(good), REPEATS))

    async def repeats(self) -> None:
        """Records that were sent before come again, compressed in every way."""
        for _ in CODECS:
            await self.send(self._repeated(), journal=False)


async def _no_open_transaction() -> bool:
    ends = []
    for isolation in ("read_committed", "read_uncommitted"):
        try:
            async with AIOKafkaConsumer(
                **kafka_access().client_options(), isolation_level=isolation
            ) as consumer:
                every = [
                    one
                    for topic in all_topics()
                    for one in await partitions_of(consumer, topic.name)
                ]
                ends.append(await consumer.end_offsets(every))
        except (KafkaError, OSError):
            return False
    return bool(ends[0]) and ends[0] == ends[1]


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"\0" * (1 << 20))
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as ballast:
        while True:
            ballast.write(b"\0" * 512)
