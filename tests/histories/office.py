"""The real services on one real database, without Kafka: what one publishes reaches its
consumers at once, or when a history says so.

One database serves all histories: between two of them every table is emptied but those of what is
set up once.
"""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.console.queries.snapshot import ReadConnection
from services.fee_realizer import app as fee_realizer
from services.invoicer import app as invoicer
from services.scheduler import app as scheduler
from services.scheduler.due_lines.handlers import NAME as SCHEDULER
from services.scheduler.due_lines.handlers import announce, companies_behind
from shared.broker.producer import OutgoingMessage
from shared.consumer.records import Applied, Record
from shared.consumer.unit_of_work import UnitOfWork
from shared.consumer.worker import Service
from shared.database import engine_for, rows, run
from shared.events.commands import AnyCommand, key_of
from shared.logins import CONSOLE, connect
from shared.verify import Report, verify
from shared.verify.checks import CHECKS
from shared.verify.run import parameters
from tests.builders import record
from tests.conftest import RecordingProducer, as_superuser, process, run_sql
from tests.histories import domain as domain
from tests.histories.reference.ledger import Billed, Open
from tests.report_totals import check_reports, rows_of

STATEMENTS, COMMANDS, ANSWERS = "pay-lines-realized", "operator-commands", "command-results"

SESSION = ("synchronous_commit = off", "jit = off", "plan_cache_mode = force_generic_plan")

Unbilled = dict[str, list[dict[str, Any]]]

EMPTY = """
DO $$
DECLARE one record;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR one IN SELECT n.nspname AS schema, c.relname AS name FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'r' AND n.nspname IN ('fee_realizer', 'scheduler', 'invoicer',
               'arg_sync')
               AND c.relname NOT IN ('billing_company', 'tax_rate', 'catalog_item',
                 'time_group') LOOP
    EXECUTE format('DELETE FROM %I.%I', one.schema, one.name);
  END LOOP;
END $$
"""

ALL_CHECKS = " UNION ALL ".join(
    f"SELECT '{check.name}' AS name, CAST(id AS text), CAST(detail AS text)"
    f" FROM ({check.sql}) AS found"
    for check in CHECKS
)

OPEN_DEBIT = """
SELECT o.pay_line_id FROM invoicer.open_line o JOIN invoicer.pay_line p USING (pay_line_id)
WHERE p.document_kind = :kind AND p.document_id = :id AND p.line_key = :key
  AND p.corrects_invoice_id IS NULL"""
LINE_NO = """
SELECT l.line_no FROM invoicer.invoice_line l JOIN invoicer.pay_line p USING (pay_line_id)
  JOIN invoicer.invoice i USING (invoice_id)
WHERE i.invoice_number = :number AND p.document_kind = :kind AND p.document_id = :id
  AND p.line_key = :key AND p.corrects_invoice_id IS NULL"""


@dataclass
class Office:
    """The workers of a history, the realizations on their way to the invoicer, and queries of
    the database.
    """

    url: str
    services: dict[str, Service] = field(default_factory=dict)
    units_of_work: dict[str, UnitOfWork] = field(default_factory=dict)
    engines: dict[str, AsyncEngine] = field(default_factory=dict)
    under_way: list[Record] = field(default_factory=list)
    said: list[OutgoingMessage] = field(default_factory=list)
    console: "asyncpg.Connection[Any]" = field(init=False)

    async def open(self) -> None:
        """Connects and sets up."""
        await self.connect()
        for one in domain.commands():
            answer = await self.ask(one)
            assert answer["outcome"] == "accepted", answer

    async def connect(self) -> None:
        """Connects and starts the workers.

        Commits need not reach the disk, because nothing is killed. A statement is planned once, not
        for each set of values: its tables are tiny, and planning takes longer than reading them.
        """
        await run_sql(
            as_superuser(self.url),
            *(f"ALTER DATABASE {urlsplit(self.url).path[1:]} SET {each}" for each in SESSION),
        )
        self.engines["owner"] = create_async_engine(
            as_superuser(self.url), isolation_level="AUTOCOMMIT"
        )
        self.engines["auditor"] = engine_for("auditor", self.url)
        self.console = await connect(CONSOLE, self.url)
        await self.restart()

    async def restart(self) -> None:
        """New workers, which know only what is in the database, with new connections."""
        for name in (fee_realizer.NAME, invoicer.NAME, SCHEDULER):
            if name in self.engines:
                await self.engines[name].dispose()
            self.engines[name] = engine_for(name, self.url)
        self.new_workers()

    def new_workers(self) -> None:
        """New workers, which know only what is in the database.

        They use the connections that are there: these know statements, but no data. What a worker
        keeps of the data it keeps by its engine, and each has an engine of its own.
        """
        self.services = {
            service.name: service for service in (fee_realizer.service(), invoicer.service())
        }
        for service in (*self.services.values(), scheduler.service()):
            self.units_of_work[service.name] = UnitOfWork(
                service.name,
                self.engines[service.name].execution_options(),
                RecordingProducer(),  # type: ignore[arg-type]
                dict(service.builders),
            )

    async def empty(self) -> None:
        """Empties every table but those of companies, catalog and time groups, and forgets what
        was under way.
        """
        async with self.engines["owner"].connect() as connection:
            await run(connection, EMPTY)
        self.under_way.clear()
        self.said.clear()
        self.new_workers()

    async def close(self) -> None:
        """Lets go of the database."""
        await self.console.close()
        for engine in self.engines.values():
            await engine.dispose()

    # -- messages

    async def consume(self, service: str, records: Sequence[Record]) -> None:
        """A polled batch of one topic at one service, its background jobs, and what it said:
        statements are put on their way.
        """
        for subscription in self.services[service].subscriptions:
            mine = [one for one in records if one.topic == subscription.topic]
            if mine:
                jobs = await process(self.units_of_work[service], subscription, mine)
                self._carry(service)
                if jobs:
                    await self.jobs(service)

    async def day_begins(self) -> None:
        """The scheduler's day is today, and what is due without a message is done."""
        async with self.engines[SCHEDULER].connect() as connection:
            behind = await companies_behind(connection)
        for company in behind:
            await announce(self.units_of_work[SCHEDULER], company)
        await self.jobs(fee_realizer.NAME)

    async def jobs(self, service: str) -> None:
        """What is due without a message."""
        for _, job in self.services[service].jobs:
            while True:
                applied: Applied = await self.units_of_work[service].transact(job)
                self._carry(service)
                if not applied.jobs_due:
                    break

    def _carry(self, service: str) -> None:
        producer = self.units_of_work[service].producer
        published, producer.published = producer.published, []  # type: ignore[attr-defined]
        self.said += published
        self.under_way += [
            record(one.topic, one.value, one.key) for one in published if one.topic == STATEMENTS
        ]

    async def tell(self, topic: str, *events: BaseModel) -> None:
        """Events for every service that consumes their topic."""
        records = [record(topic, event) for event in events]
        for name, service in self.services.items():
            if any(subscription.topic == topic for subscription in service.subscriptions):
                await self.consume(name, records)

    async def ask(self, asked: AnyCommand) -> dict[str, Any]:
        """Gives a command to every service, of which one answers; the answer."""
        for name in self.services:
            await self.consume(name, [record(COMMANDS, asked, key_of(asked))])
        answers = [
            one.value for one in self.said if one.topic == ANSWERS and one.key == asked.command_id
        ]
        assert answers, f"no service answered {asked.command}"
        found: dict[str, Any] = json.loads(answers[-1])
        return found

    async def deliver(self, records: Iterable[Record]) -> None:
        """Brings statements to the invoicer as one polled batch."""
        await self.consume("invoicer", list(records))

    # -- the database

    async def select(self, realization: str, **values: Any) -> list[Any]:
        """Rows, as the owner sees them."""
        async with self.engines["owner"].connect() as connection:
            return await rows(connection, realization, **values)

    async def pay_line(self, one: Open) -> int:
        """The id of an open debit: a key has one at most."""
        found = await self.select(
            OPEN_DEBIT, kind=one.document[0], id=one.document[1], key=one.line.key
        )
        ((pay_line_id,),) = found
        return int(pay_line_id)

    async def line_no(self, one: Billed) -> int:
        """The number of a line on its document: a key is there once as a debit."""
        found = await self.select(
            LINE_NO, number=one.number, kind=one.document[0], id=one.document[1], key=one.line.key
        )
        ((line_no,),) = found
        return int(line_no)

    async def unbilled(self, today: date) -> Unbilled:
        """The rows of the report of what is not billed at the end of today, of each company."""
        async with self._snapshot() as connection:
            return {
                name: await rows_of(connection, "unbilled", name, today)
                for name in domain.COMPANIES
            }

    async def check_reports(self, today: date, past: Mapping[date, Unbilled]) -> None:
        """Reports add up to the tables, and that of a past day is as it was on that day."""
        async with self._snapshot() as connection:
            for name in domain.COMPANIES:
                await check_reports(connection, self.select, name, today)
                for day, kept in past.items():
                    again = await rows_of(connection, "unbilled", name, as_of=day)
                    assert again == kept[name], (name, day)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[ReadConnection]:
        """Read as `open_snapshot` does, on a connection that is kept."""
        async with self.console.transaction(isolation="repeatable_read", readonly=True):
            yield ReadConnection(self.console)

    async def violations(self) -> list[Any]:
        """What each check of `verify` finds: check, id and detail; nothing if the data are right.

        They run as one statement, which sees one snapshot: a statement for each takes longer to
        send than to run.
        """
        async with self.engines["auditor"].connect() as connection:
            return await rows(connection, ALL_CHECKS, **await parameters(connection))

    async def verified(self) -> Report:
        """What `verify` reports of the database."""
        async with self.engines["auditor"].connect() as connection:
            return await verify(connection)
