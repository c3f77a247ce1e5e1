"""A service so small that a test sees the protocol and nothing else: it hears one topic and keeps each toy in one row.

It runs on the schema of fee_realizer, hears `timesheet-approved` and says `document-held`; the rows are real, the Kafka is real.
`python -m tests.sample_service` or `faststream run tests.sample_service:app` runs it as a process of its own; `TOY_BUG=1` makes it raise where no rule of a document is running.
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
CREATE TABLE fee_realizer.toy (
  toy_id text PRIMARY KEY, hours numeric(6,2) NOT NULL CHECK (hours <> 13), body jsonb NOT NULL,
  place bigint GENERATED ALWAYS AS IDENTITY, transaction_id bigint NOT NULL DEFAULT txid_current());
GRANT SELECT, INSERT ON fee_realizer.toy TO fee_realizer
"""
"""The table; no toy may have 13 hours, which only the database knows. `place` counts rows in the order in which they were written."""


async def make_table(owner: AsyncEngine) -> None:
    """Makes the table."""
    async with owner.begin() as connection:
        for statement in TABLE.split(";\n"):
            await connection.execute(text(statement))


class Toy(AtsMessage):
    """What the toy service hears."""

    toy_id: Identifier
    hours: Hours = Decimal(1)


Before = Callable[[AsyncConnection, Sequence[Received[Toy]]], Awaitable[None]]


@dataclass
class Playroom:
    """One toy service. `before` is called in each transaction ahead of the writing; `tries` holds the ids of each transaction tried."""

    before: Before | None = None
    tries: list[list[str]] = field(default_factory=list)

    def subscription(self) -> Subscription:
        """The lane of toys."""
        return Subscription(TOPIC, reader(Toy), self.apply, Toy)

    async def apply(
        self, connection: AsyncConnection, received: Sequence[Received[Toy]]
    ) -> Applied:
        """Keeps each toy once; the same id with other hours is a conflict; new ones are said."""
        self.tries.append([one.event.toy_id for one in received])
        found = await rows(
            connection,
            "SELECT toy_id, hours FROM fee_realizer.toy WHERE toy_id = ANY(:ids)",
            ids=[one.event.toy_id for one in received],
        )
        known = {row.toy_id: row.hours for row in found}
        if self.before is not None:
            await self.before(connection, received)
        fresh: dict[str, Received[Toy]] = {}
        rejected: list[tuple[Record, Rejection]] = []
        for one in received:
            hours = known.setdefault(one.event.toy_id, one.event.hours)
            if hours != one.event.hours:
                rejected.append(
                    (
                        one.record,
                        Rejection(
                            "conflict", "the toy came before with other hours: send another toy"
                        ),
                    )
                )
            elif one.event.toy_id not in {row.toy_id for row in found}:
                fresh[one.event.toy_id] = one
        await self._keep(connection, fresh)
        return Applied(publish_now=[("toy", toy_id) for toy_id in fresh], rejected=rejected)

    async def _keep(self, connection: AsyncConnection, fresh: dict[str, Received[Toy]]) -> None:
        await run(
            connection,
            "INSERT INTO fee_realizer.toy (toy_id, hours, body) SELECT * FROM"
            " unnest(CAST(:ids AS text[]), CAST(:hours AS numeric[]), CAST(CAST(:bodies AS text[]) AS jsonb[]))",
            ids=list(fresh),
            hours=[one.event.hours for one in fresh.values()],
            bodies=[(one.record.value or b"").decode() for one in fresh.values()],
        )

    async def say(self, connection: AsyncConnection, ids: Sequence[str]) -> list[OutgoingMessage]:
        """Each kept toy, from its row."""
        found = await rows(
            connection,
            "SELECT toy_id, hours FROM fee_realizer.toy WHERE toy_id = ANY(:ids) ORDER BY place",
            ids=list(ids),
        )
        return [
            OutgoingMessage(
                PUBLISHED,
                row.toy_id,
                json.dumps({"toy_id": row.toy_id, "hours": str(row.hours)}).encode(),
                stable_id("toy", row.toy_id),
            )
            for row in found
        ]

    def desk(self) -> CommandDispatcher:
        """Answers `set-catalog-item` by keeping a toy of that name: a second one would meet the unique key."""
        return CommandDispatcher(
            SERVICE,
            {SetCatalogItem: self.set_item},
            lambda: {
                TOPIC: self.subscription(),
                OPERATOR_COMMANDS.name: self.desk().subscription(),
            },
            self.again,
        )

    async def set_item(self, connection: AsyncConnection, command: SetCatalogItem) -> Answer:
        """Keeps the toy named by the item."""
        await run(
            connection,
            "INSERT INTO fee_realizer.toy (toy_id, hours, body) VALUES (:id, 1, '{}')",
            id=command.item_id,
        )
        return Answer(
            f"toy {command.item_id} is there",
            details={"toy_id": command.item_id},
            publish_after=[("toy", command.item_id)],
        )

    async def again(self, connection: AsyncConnection, command: Any) -> Answer:
        """Says every toy again."""
        return Answer(
            "said again",
            publish_after=[
                ("toy", row.toy_id)
                for row in await rows(connection, "SELECT toy_id FROM fee_realizer.toy")
            ],
        )

    def service(self) -> Service:
        """The service as a worker runs it."""
        return Service(
            SERVICE, [self.subscription(), self.desk().subscription()], {"toy": self.say}
        )


def toy(toy_id: str, hours: str = "1", **more: Any) -> bytes:
    """The value of a record about a toy."""
    return json.dumps({"toy_id": toy_id, "hours": hours} | more).encode()


async def _bug(connection: AsyncConnection, received: Sequence[Received[Toy]]) -> None:
    await connection.execute(text("SELECT 1"))
    raise ZeroDivisionError("planted")


app = build_app(Playroom(_bug if os.environ.get("TOY_BUG") else None).service())

if __name__ == "__main__":
    run_app(app)
