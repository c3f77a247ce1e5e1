"""What the scheduler does when a day has come or an operator asks: each handler loads, decides, saves, says.

The messages of `pay-line-due` are built here, from stored rows, whoever asks for them.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler import store
from services.scheduler.rules import move
from shared import clock, faults
from shared.broker.producer import OutgoingMessage, stable_id
from shared.broker.topics import OPERATOR_COMMANDS, PAY_LINE_DUE
from shared.consumer.commands import Answer, CommandDispatcher
from shared.consumer.protocol import MessageBuilder
from shared.consumer.records import OutboxId
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import Republish
from shared.events.realizations import PayLineDue

RANGES_AT_ONCE = 10


async def on_new_day(connection: AsyncConnection, company: str) -> list[OutboxId]:
    """Moves a company's watermark to its today, under its exclusive lock; the ranges of lines to announce, stored as in the outbox."""
    await lock_companies(connection, [company], exclusive=True)
    await faults.point("after_locks")
    (found,) = await store.companies(connection, company)
    earliest = (
        await store.earliest_waiting(connection, company) if found.watermark is None else None
    )
    step = move(found.watermark, clock.today_of(found.time_zone), earliest)
    if step is None:
        return []
    await store.add_move(connection, company, step)
    ranges = await store.due_ranges(connection, company, step)
    await store.add_ranges_to_say(connection, ranges)
    await faults.point("watermark_moved")
    return [(store.DUE, an_id) for an_id in ranges]


async def companies_behind(connection: AsyncConnection) -> list[str]:
    """Companies whose local day is after their watermark: read without a lock, decided again under it."""
    return [
        one.billing_company
        for one in await store.companies(connection)
        if one.watermark is None or one.watermark < clock.today_of(one.time_zone)
    ]


async def on_republish(connection: AsyncConnection, command: Republish) -> Answer:
    """Announces again: the due lines of one document, or all that fell due since a date. Long lists follow with the next sweeps."""
    if command.document_id is not None:
        subject = json.dumps([command.document_kind, command.document_id])
        count = len(await store.announced_lines_of(connection, subject))
        return Answer(
            f"{count} lines of {command.document_id} are announced again",
            publish_after=[(store.DUE_DOCUMENT, subject)] if count else [],
        )
    if command.since is None:
        raise Refused(
            "nothing_named",
            "republish needs a document or a date",
            "give --document ID or --since DATE",
        )
    ranges = [
        an_id
        for company, step in await store.moves_since(connection, command.since)
        for an_id in await store.due_ranges(connection, company, step)
    ]
    await store.add_ranges_to_say(connection, ranges[RANGES_AT_ONCE:])
    return Answer(
        f"{len(ranges)} ranges of at most {store.LINES_A_RANGE} lines that fell due since {command.since} are announced again",
        details={"ranges": len(ranges)},
        publish_after=[(store.DUE, an_id) for an_id in ranges[:RANGES_AT_ONCE]],
    )


async def due_messages(connection: AsyncConnection, ids: Sequence[str]) -> list[OutgoingMessage]:
    """`pay-line-due` of the lines of some ranges."""
    return [_due(row) for an_id in ids for row in await store.lines_of_range(connection, an_id)]


async def document_messages(
    connection: AsyncConnection, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """`pay-line-due` of the announced lines of some documents."""
    return [_due(row) for an_id in ids for row in await store.announced_lines_of(connection, an_id)]


def _due(row: Any) -> OutgoingMessage:
    event = PayLineDue(
        pay_line_id=row.pay_line_id,
        billing_company=row.billing_company,
        document_kind=row.document_kind,
        document_id=row.document_id,
        line_key=row.line_key,
        effective_date=row.effective_date,
        currency=row.currency,
        amount=row.amount,
        description=row.description,
    )
    return OutgoingMessage(
        PAY_LINE_DUE.name,
        str(row.pay_line_id),
        event.model_dump_json().encode(),
        stable_id(PAY_LINE_DUE.name, row.pay_line_id),
    )


MESSAGE_BUILDERS: dict[str, MessageBuilder] = {
    store.DUE: due_messages,
    store.DUE_DOCUMENT: document_messages,
}
DISPATCHER: CommandDispatcher = CommandDispatcher(
    "scheduler",
    handlers={},
    subscriptions=lambda: {OPERATOR_COMMANDS.name: DISPATCHER.subscription()},
    republish=on_republish,
)
