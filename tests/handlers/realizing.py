"""The transactions of fee_realizer on a real PostgreSQL, and what they published, for tests."""

import itertools
import json
from typing import Any

import pytest
from sqlalchemy import text

from services.fee_realizer.app import DISPATCHER, MESSAGE_BUILDERS, SUBSCRIPTIONS, jobs
from shared.broker.producer import OutgoingMessage
from shared.consumer.records import Record
from shared.consumer.unit_of_work import UnitOfWork
from shared.database import rows
from shared.events.realizations import DocumentHeld, PayLinesRealized
from tests.builders import COMPANY, command, record, requirement
from tests.conftest import EngineOf, UnitOfWorkFor, process

COMPANY_SET = command("set-billing-company", billing_company=COMPANY)
ITEM_SET = command(
    "set-catalog-item", item_id="DIRECT-HIRE", name="Direct hire", percent_of_salary="20"
)
STAMPS = dict.fromkeys(
    ("submitted_at", "approved_at", "released_at", "interpreted_at", "reviewed_at"),
    "2026-03-09T10:00:00Z",
)
BUSINESS = {
    "source_document": "document_kind, document_id, source_id, revision, hold_code, hold_message,"
    " requirement_ids, item_ids",
    "source_revision": "document_kind, document_id, source_id, revision, approved, approved_at,"
    " body",
    "adjustment_timesheet": "*",
    "document_fact": "*",
    "pricing_queue": "document_kind, document_id, cause",
    "requirement": "requirement_id, known, closed, revision, billing_company, office_id,"
    " job_title, currency, po_number, body",
    "requirement_status": "*",
    "catalog_item": "*",
    "billing_company": "*",
}


class Realizer:
    """The service's transactions as its worker runs them, and the published messages."""

    def __init__(self, unit_of_work: UnitOfWork, engine_of: EngineOf) -> None:
        self.unit_of_work = unit_of_work
        self.engine_of = engine_of
        self.subscriptions = {
            subscription.topic: subscription
            for subscription in (*SUBSCRIPTIONS, DISPATCHER.subscription())
        }

    @property
    def published(self) -> list[OutgoingMessage]:
        """All published messages."""
        return self.unit_of_work.producer.published  # type: ignore[attr-defined,no-any-return]

    async def consume(self, *events: Any) -> None:
        """Process events, each run of events of one topic as one batch, then the background jobs.

        Rocess events, each run of events of one topic as one batch, then the background jobs.
        """
        for topic, batch in itertools.groupby(
            (as_record(event) for event in events), key=lambda one: one.topic
        ):
            await process(self.unit_of_work, self.subscriptions[topic], list(batch))
        await self.do_jobs()

    async def do_jobs(self) -> None:
        """Run the background jobs until nothing is due."""
        for _, job in jobs():
            while (await self.unit_of_work.transact(job)).jobs_due:
                pass

    async def select(self, statement: str, **values: Any) -> list[Any]:
        """Return rows, as the owner of the database sees them."""
        async with self.engine_of("owner").connect() as connection:
            return await rows(connection, statement, **values)

    async def owner(self, statement: str, **values: Any) -> None:
        """Run a statement as the owner, in place of another service."""
        async with self.engine_of("owner").begin() as connection:
            await connection.execute(text(statement), values)

    async def dump(self) -> dict[str, list[str]]:
        """Return all business columns, and the lines of each latest realization."""
        found = {
            table: sorted(
                str(tuple(row))
                for row in await self.select(f"SELECT {columns} FROM fee_realizer.{table}")
            )
            for table, columns in BUSINESS.items()
        }
        found["latest_realization"] = sorted(
            str(
                (
                    row.document_kind,
                    row.document_id,
                    row.realization_kind,
                    [line | {"derivation": None} for line in json.loads(row.body)["lines"]],
                )
            )
            for row in await self.select("SELECT * FROM fee_realizer.latest_realization")
        )
        return found

    async def held(self) -> dict[str, str]:
        """Return the code of each held document."""
        return {
            row.document_id: row.hold_code
            for row in await self.select(
                "SELECT document_id, hold_code FROM fee_realizer.held_document"
            )
        }

    async def message(self) -> str:
        """Return the message of the one held document."""
        (row,) = await self.select("SELECT hold_message FROM fee_realizer.held_document")
        return str(row.hold_message)

    def realizations(self, document_id: str = "T-1") -> list[PayLinesRealized]:
        """Return the published realizations of a document, parsed as a consumer parses them."""
        return [
            PayLinesRealized.model_validate_json(one.value)
            for one in self.published
            if one.topic == "pay-lines-realized" and one.key == document_id
        ]

    def latest_lines(self, document_id: str = "T-1") -> list[tuple[str, str, str, str]]:
        """Return time type, quantity, price and amount of the latest realization's lines."""
        realizations = self.realizations(document_id)
        return (
            [
                (line.time_type, f"{line.quantity:f}", f"{line.unit_price:f}", f"{line.amount:f}")
                for line in realizations[-1].lines
            ]
            if realizations
            else []
        )

    def kinds(self, document_id: str = "T-1") -> list[tuple[int, str]]:
        """Return number and kind of all its realizations."""
        return [
            (one.realization_no, one.realization_kind) for one in self.realizations(document_id)
        ]

    def hold_events(self) -> list[str]:
        """Return the published holds (with code) and releases, in order."""
        return [
            f"held {DocumentHeld.model_validate_json(one.value).code}"
            if one.topic == "document-held"
            else "released"
            for one in self.published
            if one.topic in ("document-held", "document-released")
        ]

    async def dead_letters(self) -> list[str]:
        """Return the codes of the dead letters."""
        return [
            row.code
            for row in await self.select(
                "SELECT code FROM fee_realizer.dead_letter ORDER BY dead_letter_id"
            )
        ]


def as_record(event: Any) -> Record:
    """Return an event as a Kafka record on its topic."""
    if isinstance(event, Record):
        return event
    topics = {
        "RequirementChanged": "requirement-changed",
        "TimesheetApproved": "timesheet-approved",
        "PlacementCreated": "placement-created",
        "EngagementChanged": "engagement-changed",
        "SupplierChanged": "supplier-changed",
    }
    return record(topics.get(type(event).__name__, "operator-commands"), event)


@pytest.fixture
def realizer(unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf) -> Realizer:
    """The service on an empty database."""
    return Realizer(unit_of_work_for("fee_realizer", MESSAGE_BUILDERS), engine_of)


@pytest.fixture
async def ready(realizer: Realizer) -> Realizer:
    """A billing company and a Filled requirement (REG 50.00, OT 75.00) are known."""
    await realizer.consume(COMPANY_SET, requirement())
    return realizer
