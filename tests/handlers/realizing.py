"""fee_realizer's transactions as the protocol runs them on a real PostgreSQL, and what it said: for the tests of its handlers."""

import itertools
import json
from typing import Any

import pytest
from sqlalchemy import text

from services.fee_realizer.app import DISPATCHER, MESSAGE_BUILDERS, SUBSCRIPTIONS, jobs
from shared.broker.producer import OutgoingMessage
from shared.consumer.protocol import UnitOfWork
from shared.consumer.records import Record
from shared.database import rows
from shared.events.realizations import DocumentHeld, PayLinesRealized
from tests.builders import COMPANY, command, record, requirement
from tests.conftest import BooksOf, EngineOf, process

COMPANY_SET = command("set-billing-company", billing_company=COMPANY)
ITEM_SET = command(
    "set-catalog-item", item_id="DIRECT-HIRE", name="Direct hire", percent_of_salary="20"
)
BUSINESS = {
    "source_document": "document_kind, document_id, source_id, revision, hold_code, hold_message, requirement_ids, item_ids",
    "source_revision": "document_kind, document_id, source_id, revision, approved, approved_at, body",
    "adjustment_timesheet": "*",
    "document_fact": "*",
    "pricing_queue": "*",
    "requirement": "requirement_id, known, closed, revision, billing_company, office_id, job_title, currency, po_number, body",
    "requirement_status": "*",
    "catalog_item": "*",
    "billing_company": "*",
}


class Realizer:
    """The service's transactions as the protocol runs them, and what it said."""

    def __init__(self, books: UnitOfWork, engine_of: EngineOf) -> None:
        self.books = books
        self.engine_of = engine_of
        self.subscriptions = {
            subscription.topic: subscription
            for subscription in (*SUBSCRIPTIONS, DISPATCHER.subscription())
        }

    @property
    def heard(self) -> list[OutgoingMessage]:
        """All that was said."""
        return self.books.producer.published  # type: ignore[attr-defined,no-any-return]

    async def hear(self, *events: Any) -> None:
        """Each run of events of one topic is one batch; then the background jobs."""
        for topic, batch in itertools.groupby(
            (as_record(event) for event in events), key=lambda one: one.topic
        ):
            await process(self.books, self.subscriptions[topic], list(batch))
        await self.do_jobs()

    async def do_jobs(self) -> None:
        """What is due without a message."""
        for _, job in jobs():
            while (await self.books.transact(job)).jobs_due:
                pass

    async def select(self, statement: str, **values: Any) -> list[Any]:
        """Rows, as the owner sees them."""
        async with self.engine_of("owner").connect() as connection:
            return await rows(connection, statement, **values)

    async def owner(self, statement: str, **values: Any) -> None:
        """What another service would have written."""
        async with self.engine_of("owner").begin() as connection:
            await connection.execute(text(statement), values)

    async def dump(self) -> dict[str, list[str]]:
        """All business columns, and what each document is worth by its latest statement."""
        found = {
            table: sorted(
                str(tuple(row))
                for row in await self.select(f"SELECT {columns} FROM fee_realizer.{table}")
            )
            for table, columns in BUSINESS.items()
        }
        found["worth"] = sorted(
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
        """Code of each document that waits."""
        return {
            row.document_id: row.hold_code
            for row in await self.select(
                "SELECT document_id, hold_code FROM fee_realizer.held_document"
            )
        }

    async def message(self) -> str:
        """The message of the one document that waits."""
        (row,) = await self.select("SELECT hold_message FROM fee_realizer.held_document")
        return str(row.hold_message)

    def statements(self, document_id: str = "T-1") -> list[PayLinesRealized]:
        """The statements that were said of a document, read as a consumer reads them."""
        return [
            PayLinesRealized.model_validate_json(one.value)
            for one in self.heard
            if one.topic == "pay-lines-realized" and one.key == document_id
        ]

    def worth(self, document_id: str = "T-1") -> list[tuple[str, str, str, str]]:
        """Time type, quantity, price and amount of the latest statement's lines."""
        said = self.statements(document_id)
        return (
            [
                (line.time_type, f"{line.quantity:f}", f"{line.unit_price:f}", f"{line.amount:f}")
                for line in said[-1].lines
            ]
            if said
            else []
        )

    def kinds(self, document_id: str = "T-1") -> list[tuple[int, str]]:
        """Number and kind of all its statements."""
        return [
            (said.realization_no, said.realization_kind) for said in self.statements(document_id)
        ]

    def waits(self) -> list[str]:
        """What was said of holds, in order."""
        return [
            f"held {DocumentHeld.model_validate_json(one.value).code}"
            if one.topic == "document-held"
            else "released"
            for one in self.heard
            if one.topic in ("document-held", "document-released")
        ]

    async def letters(self) -> list[str]:
        """Codes of the dead letters."""
        return [
            row.code
            for row in await self.select(
                "SELECT code FROM fee_realizer.dead_letter ORDER BY dead_letter_id"
            )
        ]


def as_record(event: Any) -> Record:
    """An event as Kafka brings it, on its topic."""
    if isinstance(event, Record):
        return event
    topics = {
        "RequirementChanged": "requirement-changed",
        "TimesheetApproved": "timesheet-approved",
        "PlacementCreated": "placement-created",
    }
    return record(topics.get(type(event).__name__, "operator-commands"), event)


@pytest.fixture
def realizer(books_of: BooksOf, engine_of: EngineOf) -> Realizer:
    """The service on an empty database."""
    return Realizer(books_of("fee_realizer", MESSAGE_BUILDERS), engine_of)


@pytest.fixture
async def ready(realizer: Realizer) -> Realizer:
    """A billing company and a Filled requirement (REG 50.00, OT 75.00) are known."""
    await realizer.hear(COMPANY_SET, requirement())
    return realizer
