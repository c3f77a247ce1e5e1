"""Watermark moves in PostgreSQL, and the ranges of lines that a move makes due."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.due_lines.rules import WatermarkMove
from shared.database import rows, run
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
LINES_PER_RANGE = 1_000
LINE_COLUMNS = (
    "l.pay_line_id, l.billing_company, l.document_kind, l.document_id, l.line_key,"
    " l.effective_date, l.currency, l.amount, l.description"
)


async def company_watermarks(
    connection: AsyncConnection, company: str | None = None
) -> Sequence[Any]:
    """Return id, time zone and watermark of one or all billing companies, disabled ones too."""
    return await rows(
        connection,
        QUERIES["company_watermarks"],
        company=company,
    )


async def earliest_due_date(connection: AsyncConnection, company: str) -> date | None:
    """Return the effective date of the company's first line that is not announced yet."""
    ((earliest,),) = await rows(
        connection,
        "SELECT min(effective_date) FROM invoicer.due_line WHERE billing_company = :company",
        company=company,
    )
    return earliest  # type: ignore[no-any-return]


async def add_move(connection: AsyncConnection, company: str, move: WatermarkMove) -> None:
    """Move the watermark."""
    await run(
        connection,
        "INSERT INTO scheduler.watermark (billing_company, from_date, to_date, announced_at)"
        " VALUES (:company, :from_date, :to_date, now())",
        company=company,
        from_date=move.from_date,
        to_date=move.to_date,
    )


async def moves_since(connection: AsyncConnection, since: date) -> list[tuple[str, WatermarkMove]]:
    """Return the moves announced on that day (UTC) or later, with their companies."""
    return [
        (row.billing_company, WatermarkMove(row.from_date, row.to_date))
        for row in await rows(
            connection,
            "SELECT billing_company, from_date, to_date FROM scheduler.watermark"
            " WHERE announced_at >= CAST(:since AS date) AT TIME ZONE 'UTC'"
            " ORDER BY billing_company, to_date",
            since=since,
        )
    ]


async def due_ranges(connection: AsyncConnection, company: str, move: WatermarkMove) -> list[str]:
    """Return the lines that a move makes due as ids of ranges of at most LINES_PER_RANGE lines."""
    found = await rows(
        connection,
        QUERIES["due_ranges"],
        company=company,
        from_date=move.from_date,
        to_date=move.to_date,
        size=LINES_PER_RANGE,
    )
    days = [move.from_date.isoformat(), move.to_date.isoformat()]
    return [json.dumps([company, *days, row.first, row.last]) for row in found]


async def lines_of_range(connection: AsyncConnection, range_id: str) -> Sequence[Any]:
    """Return the lines of a range, without those that were replaced in the meantime."""
    company, from_date, to_date, first, last = json.loads(range_id)
    return await rows(
        connection,
        f"""
        SELECT {LINE_COLUMNS} FROM invoicer.due_line l WHERE l.billing_company = :company
          AND l.effective_date > :from_date AND l.effective_date <= :to_date
          AND l.pay_line_id BETWEEN :first AND :last ORDER BY l.pay_line_id
        """,
        company=company,
        from_date=date.fromisoformat(from_date),
        to_date=date.fromisoformat(to_date),
        first=first,
        last=last,
    )


async def announced_lines(connection: AsyncConnection, document: str) -> Sequence[Any]:
    """Return the announced lines of a document: JSON of its kind (or null for any) and id."""
    kind, document_id = json.loads(document)
    return await rows(
        connection,
        f"""
        SELECT {LINE_COLUMNS} FROM invoicer.due_line l
        JOIN scheduler.due_watermark w
          ON w.billing_company = l.billing_company AND l.effective_date <= w.to_date
        WHERE l.document_id = :document_id
          AND (CAST(:kind AS text) IS NULL OR l.document_kind = :kind) ORDER BY l.pay_line_id
        """,
        document_id=document_id,
        kind=kind,
    )
