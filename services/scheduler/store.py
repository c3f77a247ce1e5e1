"""What the scheduler remembers: moves of watermarks; and which ranges of lines a move makes due. All SQL of the service."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.rules import Move
from shared.consumer import tables as ledger
from shared.database import rows, run

DUE = "due"
DUE_DOCUMENT = "due-document"
LINES_A_RANGE = 1_000


@dataclass(frozen=True, slots=True)
class Company:
    """A billing company's zone and how far it has been announced."""

    billing_company: str
    time_zone: str
    watermark: date | None


async def companies(connection: AsyncConnection, only: str | None = None) -> list[Company]:
    """Every known billing company, or one, with its watermark; disabled ones, too: their lines fall due all the same."""
    found = await rows(
        connection,
        "SELECT c.billing_company, c.time_zone, w.to_date FROM fee_realizer.billing_company_settings c"
        " LEFT JOIN scheduler.due_watermark w USING (billing_company)"
        " WHERE CAST(:only AS text) IS NULL OR c.billing_company = :only ORDER BY c.billing_company",
        only=only,
    )
    return [Company(row.billing_company, row.time_zone, row.to_date) for row in found]


async def earliest_waiting(connection: AsyncConnection, company: str) -> date | None:
    """Effective date of the company's first line that is to be announced."""
    found: date | None = await connection.scalar(
        text("SELECT min(effective_date) FROM invoicer.due_line WHERE billing_company = :company"),
        {"company": company},
    )
    return found


async def add_move(connection: AsyncConnection, company: str, move: Move) -> None:
    """Moves the watermark."""
    await run(
        connection,
        "INSERT INTO scheduler.watermark (billing_company, from_date, to_date, announced_at) VALUES (:company, :from_date, :to_date, now())",
        company=company,
        from_date=move.from_date,
        to_date=move.to_date,
    )


async def due_ranges(connection: AsyncConnection, company: str, move: Move) -> list[str]:
    """The lines that a move makes due, as ids of ranges of at most `LINES_A_RANGE` lines."""
    found = await rows(
        connection,
        "SELECT min(pay_line_id) AS first, max(pay_line_id) AS last FROM ("
        " SELECT pay_line_id, (row_number() OVER (ORDER BY pay_line_id) - 1) / CAST(:size AS bigint) AS range_no FROM invoicer.due_line"
        " WHERE billing_company = :company AND effective_date > :from_date AND effective_date <= :to_date) AS lines"
        " GROUP BY range_no ORDER BY range_no",
        company=company,
        from_date=move.from_date,
        to_date=move.to_date,
        size=LINES_A_RANGE,
    )
    return [
        json.dumps(
            [company, move.from_date.isoformat(), move.to_date.isoformat(), row.first, row.last]
        )
        for row in found
    ]


async def add_ranges_to_say(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Keeps ranges as in the outbox without building their messages in this transaction: they are said one by one."""
    await ledger.update_outbox(connection, "scheduler", [(DUE, an_id) for an_id in ids])


async def moves_since(connection: AsyncConnection, since: date) -> list[tuple[str, Move]]:
    """Moves that were announced on that day (UTC) or later."""
    found = await rows(
        connection,
        "SELECT billing_company, from_date, to_date FROM scheduler.watermark"
        " WHERE announced_at >= CAST(:since AS date) AT TIME ZONE 'UTC' ORDER BY billing_company, to_date",
        since=since,
    )
    return [(row.billing_company, Move(row.from_date, row.to_date)) for row in found]


_LINE = (
    "SELECT l.pay_line_id, l.billing_company, l.document_kind, l.document_id, l.line_key, l.effective_date, l.currency, l.amount, l.description"
    " FROM invoicer.due_line l"
)


async def lines_of_range(connection: AsyncConnection, an_id: str) -> list[Any]:
    """The lines of a range that still stand: one that was replaced meanwhile is announced no more."""
    company, from_date, to_date, first, last = json.loads(an_id)
    return await rows(
        connection,
        f"{_LINE} WHERE l.billing_company = :company AND l.effective_date > :from_date AND l.effective_date <= :to_date"
        " AND l.pay_line_id BETWEEN :first AND :last ORDER BY l.pay_line_id",
        company=company,
        from_date=date.fromisoformat(from_date),
        to_date=date.fromisoformat(to_date),
        first=first,
        last=last,
    )


async def announced_lines_of(connection: AsyncConnection, an_id: str) -> list[Any]:
    """The lines of a document whose day has been announced. Either kind if the id names none."""
    kind, document_id = json.loads(an_id)
    return await rows(
        connection,
        f"{_LINE} JOIN scheduler.due_watermark w ON w.billing_company = l.billing_company AND l.effective_date <= w.to_date"
        " WHERE l.document_id = :document_id AND (CAST(:kind AS text) IS NULL OR l.document_kind = :kind) ORDER BY l.pay_line_id",
        document_id=document_id,
        kind=kind,
    )
