"""A service so small that a test sees the protocol and nothing else: it consumes one topic and
stores each sample in one row.

It runs on the schema of fee_realizer, consumes `timesheet-approved` and publishes `document-held`;
the rows are real, the Kafka is real. `python -m tests.sample_service` or `faststream run
tests.sample_service:app` runs it as a process of its own; `SAMPLE_DEFECT=1` makes it raise where no
rule of a document is running.
"""

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.broker.producer import OutgoingMessage, stable_id
from shared.broker.topics import DOCUMENT_HELD, OPERATOR_COMMANDS, TIMESHEET_APPROVED
from shared.consumer.application import build_app, run_app
from shared.consumer.commands import Answer, CommandDispatcher
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied, Received, Record, Rejection, reader
from shared.consumer.worker import Service
from shared.database import rows, run
from shared.events.commands import SetCatalogItem
from shared.events.field_types import AtsMessage, Hours, Identifier

SERVICE = "fee_realizer"
TOPIC = TIMESHEET_APPROVED.name
PUBLISHED = DOCUMENT_HELD.name
TABLE = """
CREATE TABLE fee_realizer.sample (
  sample_id text PRIMARY KEY, hours numeric(6,2) NOT NULL CHECK (hours <> 13), body jsonb NOT NULL,
  place bigint GENERATED ALWAYS AS IDENTITY, transaction_id bigint NOT NULL DEFAULT txid_current());
GRANT SELECT, INSERT ON fee_realizer.sample TO fee_realizer
"""
"""The table; no sample may have 13 hours, which only the database knows.

`place` counts rows in the order in which they were written.
"""


async def make_table(owner: AsyncEngine) -> None:
    """Makes the table."""
    async with owner.begin() as connection:
        for statement in TABLE.split(";\n"):
            await connection.execute(text(statement))


class Sample(AtsMessage):
    """What the sample service consumes."""

    sample_id: Identifier
    hours: Hours = Decimal(1)


Before = Callable[[AsyncConnection, Sequence[Received[Sample]]], Awaitable[None]]


@dataclass
class SampleService:
    """One sample service.

    `before` is called in each transaction ahead of the writing; `tries` holds the ids of each
    transaction tried.
    """

    before: Before | None = None
    tries: list[list[str]] = field(default_factory=list)

    def subscription(self) -> Subscription:
        """The subscription of samples."""
        return Subscription(TOPIC, reader(Sample), self.apply, Sample)

    async def apply(
        self, connection: AsyncConnection, received: Sequence[Received[Sample]]
    ) -> Applied:
        """Keeps each sample once; the same id with other hours is a conflict; new ones are said."""
        self.tries.append([one.event.sample_id for one in received])
        found = await rows(
            connection,
            "SELECT sample_id, hours FROM fee_realizer.sample WHERE sample_id = ANY(:ids)",
            ids=[one.event.sample_id for one in received],
        )
        known = {row.sample_id: row.hours for row in found}
        if self.before is not None:
            await self.before(connection, received)
        fresh: dict[str, Received[Sample]] = {}
        rejected: list[tuple[Record, Rejection]] = []
        for one in received:
            hours = known.setdefault(one.event.sample_id, one.event.hours)
            if hours != one.event.hours:
                rejected.append(
                    (
                        one.record,
                        Rejection(
                            "conflict",
                            "the sample came before with other hours: send another sample",
                        ),
                    )
                )
            elif one.event.sample_id not in {row.sample_id for row in found}:
                fresh[one.event.sample_id] = one
        await self._keep(connection, fresh)
        return Applied(
            publish_now=[("sample", sample_id) for sample_id in fresh], rejected=rejected
        )

    async def _keep(self, connection: AsyncConnection, fresh: dict[str, Received[Sample]]) -> None:
        await run(
            connection,
            "INSERT INTO fee_realizer.sample (sample_id, hours, body) SELECT * FROM"
            " unnest(CAST(:ids AS text[]), CAST(:hours AS numeric[]), CAST(CAST(:bodies AS text[])"
            " AS jsonb[]))",
            ids=list(fresh),
            hours=[one.event.hours for one in fresh.values()],
            bodies=[(one.record.value or b"").decode() for one in fresh.values()],
        )

    async def say(self, connection: AsyncConnection, ids: Sequence[str]) -> list[OutgoingMessage]:
        """Each kept sample, from its row."""
        found = await rows(
            connection,
            "SELECT sample_id, hours FROM fee_realizer.sample WHERE sample_id = ANY(:ids) ORDER BY"
            " place",
            ids=list(ids),
        )
        return [
            OutgoingMessage(
                PUBLISHED,
                row.sample_id,
                json.dumps({"sample_id": row.sample_id, "hours": str(row.hours)}).encode(),
                stable_id("sample", row.sample_id),
            )
            for row in found
        ]

    def dispatcher(self) -> CommandDispatcher:
        """Answers `set-catalog-item` by keeping a sample of that name: a second one would meet
        the unique key.
        """
        return CommandDispatcher(
            SERVICE,
            {SetCatalogItem: self.set_item},
            lambda: {
                TOPIC: self.subscription(),
                OPERATOR_COMMANDS.name: self.dispatcher().subscription(),
            },
            self.again,
        )

    async def set_item(self, connection: AsyncConnection, command: SetCatalogItem) -> Answer:
        """Keeps the sample named by the item."""
        await run(
            connection,
            "INSERT INTO fee_realizer.sample (sample_id, hours, body) VALUES (:id, 1, '{}')",
            id=command.item_id,
        )
        return Answer(
            f"sample {command.item_id} is there",
            details={"sample_id": command.item_id},
            publish_after=[("sample", command.item_id)],
        )

    async def again(self, connection: AsyncConnection, command: Any) -> Answer:
        """Says every sample again."""
        return Answer(
            "said again",
            publish_after=[
                ("sample", row.sample_id)
                for row in await rows(connection, "SELECT sample_id FROM fee_realizer.sample")
            ],
        )

    def service(self) -> Service:
        """The service as a worker runs it."""
        return Service(
            SERVICE, [self.subscription(), self.dispatcher().subscription()], {"sample": self.say}
        )


def sample(sample_id: str, hours: str = "1", **more: Any) -> bytes:
    """The value of a record about a sample."""
    return json.dumps({"sample_id": sample_id, "hours": hours} | more).encode()


async def _bug(connection: AsyncConnection, received: Sequence[Received[Sample]]) -> None:
    await connection.execute(text("SELECT 1"))
    raise ZeroDivisionError("injected")


app = build_app(SampleService(_bug if os.environ.get("SAMPLE_DEFECT") else None).service())

if __name__ == "__main__":
    run_app(app)
