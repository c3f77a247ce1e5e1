"""Announce due lines: on a new day, and again when an operator asks.

The messages of `pay-line-due` are built here from stored rows, one range of lines at a time.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.due_lines import store
from services.scheduler.due_lines.rules import next_move
from shared import clock, faults
from shared.broker.producer import OutgoingMessage, stable_id
from shared.broker.topics import OPERATOR_COMMANDS, PAY_LINE_DUE
from shared.consumer import tables
from shared.consumer.commands import Answer, CommandDispatcher
from shared.consumer.records import Applied, OutboxId
from shared.consumer.unit_of_work import MessageBuilder, UnitOfWork
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import Republish
from shared.events.realizations import PayLineDue

NAME = "scheduler"
RANGE, DOCUMENT = "due", "due-document"
RANGES_AT_ONCE = 10


async def on_new_day(connection: AsyncConnection, company: str) -> list[OutboxId]:
    """Move a company's watermark to its today under its exclusive lock.

    Return the outbox ids of the ranges of lines to announce.
    """
    await lock_companies(connection, [company], exclusive=True)
    await faults.point("after_locks")
    (found,) = await store.company_watermarks(connection, company)
    earliest = None
    if found.watermark is None:
        earliest = await store.earliest_due_date(connection, company)
    move = next_move(found.watermark, clock.today_of(found.time_zone), earliest)
    if move is None:
        return []
    await store.add_move(connection, company, move)
    ranges = [(RANGE, range_id) for range_id in await store.due_ranges(connection, company, move)]
    await tables.update_outbox(connection, NAME, ranges)
    await faults.point("watermark_moved")
    return ranges


async def announce(unit_of_work: UnitOfWork, company: str) -> int:
    """Move a company's watermark in one transaction, then publish range by range.

    Return the number of ranges.
    """
    ranges: list[OutboxId] = []

    async def move_watermark(connection: AsyncConnection) -> Applied:
        ranges[:] = await on_new_day(connection, company)
        return Applied()

    await unit_of_work.transact(move_watermark)
    for outbox_id in ranges:
        await unit_of_work.publish_pending([outbox_id])
    return len(ranges)


async def companies_behind(connection: AsyncConnection) -> list[str]:
    """Return the companies whose local day is after their watermark, read without a lock."""
    return [
        one.billing_company
        for one in await store.company_watermarks(connection)
        if one.watermark is None or one.watermark < clock.today_of(one.time_zone)
    ]


async def on_republish(connection: AsyncConnection, command: Republish) -> Answer:
    """Announce again the due lines of a document, or all that fell due since a date.

    The ranges of a long list remain in the outbox and are published by the next sweeps.
    """
    if command.document_id is not None:
        document = json.dumps([command.document_kind, command.document_id])
        count = len(await store.announced_lines(connection, document))
        return Answer(
            f"{count} lines of {command.document_id} are announced again",
            publish_after=[(DOCUMENT, document)] if count else [],
        )
    if command.since is None:
        raise Refused(
            "nothing_named",
            "republish needs a document or a date",
            "give --document ID or --since DATE",
        )
    ranges = [
        (RANGE, range_id)
        for company, move in await store.moves_since(connection, command.since)
        for range_id in await store.due_ranges(connection, company, move)
    ]
    await tables.update_outbox(connection, NAME, ranges[RANGES_AT_ONCE:])
    return Answer(
        f"{len(ranges)} ranges of at most {store.LINES_PER_RANGE} lines that fell due"
        f" since {command.since} are announced again",
        details={"ranges": len(ranges)},
        publish_after=ranges[:RANGES_AT_ONCE],
    )


async def due_messages(
    connection: AsyncConnection,
    ids: Sequence[str],
    *,
    lines: Callable[[AsyncConnection, str], Awaitable[Sequence[Any]]],
) -> list[OutgoingMessage]:
    """Build `pay-line-due` of the lines that `lines` returns for each id."""
    return [_due_message(row) for one in ids for row in await lines(connection, one)]


def _due_message(row: Any) -> OutgoingMessage:
    return OutgoingMessage(
        PAY_LINE_DUE.name,
        str(row.pay_line_id),
        PayLineDue(**row._mapping).model_dump_json().encode(),
        stable_id(PAY_LINE_DUE.name, row.pay_line_id),
    )


MESSAGE_BUILDERS: dict[str, MessageBuilder] = {
    RANGE: partial(due_messages, lines=store.lines_of_range),
    DOCUMENT: partial(due_messages, lines=store.announced_lines),
}
DISPATCHER: CommandDispatcher = CommandDispatcher(
    NAME,
    handlers={},
    subscriptions=lambda: {OPERATOR_COMMANDS.name: DISPATCHER.subscription()},
    republish=on_republish,
)
