"""Realizations as published, what the invoicer knows of them, holds, and the pricing queue."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.facts.store import rows_of
from services.fee_realizer.sources.rules.facts import Line
from services.fee_realizer.sources.rules.repricing import Impact, RateChange, Repricing
from services.fee_realizer.sources.rules.timesheets import CitedPrice
from shared.database import by_column, insert_rows, kinds_of, rows, run, unnested
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
DocumentKey = tuple[str, str]  # kind, id
RATE_IMPACT = kinds_of(
    "document_kind text, document_id text, requirement_id text, time_type text, "
    "effective_from date, line_key text, billing_company text, currency text, unit text, "
    "quantity numeric, old_price numeric, new_price numeric, old_amount numeric, new_amount numeric"
)

# Table, number, instant and condition of what can be published again.
PUBLISHED = {
    "realizations": ("realization", "realization_no", "issued_at", "true"),
    "holds": ("source_document", "hold_no", "held_since", "hold_code IS NOT NULL"),
}


async def latest_realizations(
    connection: AsyncConnection, kind: str, ids: Sequence[str]
) -> dict[str, tuple[str, list[Line]]]:
    """Return kind and lines of the latest realization of each document that has one."""
    return {
        row.document_id: (row.realization_kind, json.loads(row.body)["lines"])
        for row in await rows_of(
            connection,
            QUERIES["latest_realizations"],
            ids,
            kind=kind,
        )
    }


async def cited_prices(
    connection: AsyncConnection, kind: str, ids: Sequence[str]
) -> dict[str, dict[tuple[str, str], CitedPrice]]:
    """Return what invoiced lines cite, by document, requirement and time type."""
    found: dict[str, dict[tuple[str, str], CitedPrice]] = {}
    for row in await rows_of(
        connection,
        "SELECT document_id, requirement_id, time_type, rate_book, by_work_date, first_day"
        " FROM invoicer.cited_rate_version"
        " WHERE document_kind = :kind AND document_id = ANY(CAST(:ids AS text[]))",
        ids,
        kind=kind,
    ):
        price = CitedPrice(row.rate_book, row.by_work_date, row.first_day)
        found.setdefault(row.document_id, {})[row.requirement_id, row.time_type] = price
    return found


async def stale_realizations(
    connection: AsyncConnection, kind: str, ids: Sequence[str]
) -> dict[str, int]:
    """Return the number of the realization that the invoicer left unsettled, by document."""
    return {
        row.document_id: row.stale_realization_no
        for row in await rows_of(
            connection,
            "SELECT document_id, stale_realization_no FROM invoicer.stale_price_basis"
            " WHERE document_kind = :kind AND document_id = ANY(CAST(:ids AS text[]))",
            ids,
            kind=kind,
        )
    }


async def stale_documents(connection: AsyncConnection, limit: int) -> dict[DocumentKey, int]:
    """Return documents whose latest realization is stale, with its number."""
    return {
        (row.document_kind, row.document_id): row.realization_no
        for row in await rows(
            connection,
            QUERIES["stale_documents"],
            most=limit,
        )
    }


async def queued_documents(connection: AsyncConnection, limit: int) -> dict[DocumentKey, str]:
    """Return documents in the pricing queue with the cause.

    They are not locked here: facts are locked before documents, and these rows after both.
    """
    return {
        (row.document_kind, row.document_id): row.cause
        for row in await rows(
            connection,
            "SELECT document_kind, document_id, cause FROM fee_realizer.pricing_queue"
            " ORDER BY document_kind, document_id LIMIT :most",
            most=limit,
        )
    }


async def remove_queued(connection: AsyncConnection, documents: Iterable[DocumentKey]) -> None:
    """Remove priced documents from the queue.

    A worker that changes a fact of theirs waits for its lock, and queues them again after it.
    """
    kinds = "document_kind text, document_id text"
    await run(
        connection,
        f"DELETE FROM fee_realizer.pricing_queue t USING {unnested(kinds)}"
        " WHERE t.document_kind = s.document_kind AND t.document_id = s.document_id",
        **by_column(kinds, sorted(documents)),
    )


async def queue_held(
    connection: AsyncConnection,
    cause: str,
    kind: str | None = None,
    document_id: str | None = None,
    code: str | None = None,
) -> int:
    """Queue held documents for pricing: all, of one kind, one, or those with one code."""
    return await run(
        connection,
        QUERIES["queue_held"],
        cause=cause,
        kind=kind,
        id=document_id,
        code=code,
    )


async def held_counts(connection: AsyncConnection) -> dict[str, int]:
    """Return the number of held documents by code."""
    return {
        row.hold_code: row.held
        for row in await rows(
            connection,
            "SELECT hold_code, count(*) AS held FROM fee_realizer.source_document"
            " WHERE hold_code IS NOT NULL GROUP BY hold_code",
        )
    }


async def documents_to_price(connection: AsyncConnection) -> tuple[int, float]:
    """Return how many documents wait to be priced again, and the seconds of the oldest wait."""
    (row,) = await rows(connection, QUERIES["documents_to_price"])
    return row.documents, row.seconds


async def published(
    connection: AsyncConnection,
    what: Literal["realizations", "holds"],
    kind: str | None,
    document_id: str | None,
    since: date | None,
    limit: int,
) -> list[tuple[str, str, int]]:
    """Return realizations or holds (kind, id, number) of a document, or since a date (UTC)."""
    table, number, begun, condition = PUBLISHED[what]
    return [
        tuple(row)
        for row in await rows(
            connection,
            f"""
        SELECT document_kind, document_id, {number} FROM fee_realizer.{table}
        WHERE {condition} AND (CAST(:kind AS text) IS NULL OR document_kind = :kind)
          AND (CAST(:id AS text) IS NULL OR document_id = :id)
          AND (CAST(:since AS date) IS NULL OR {begun} >= CAST(:since AS date))
        ORDER BY {begun}, document_kind, document_id, {number} LIMIT :most
        """,
            kind=kind,
            id=document_id,
            since=since,
            most=limit,
        )
    ]


async def save_rate_impact(
    connection: AsyncConnection,
    kind: str,
    document_ids: Sequence[str],
    impacts: Mapping[str, Impact],
) -> None:
    """Replace the rate impact of these documents by `impacts`, which are by document id."""
    if document_ids:
        await run(
            connection,
            "DELETE FROM fee_realizer.rate_impact WHERE document_kind = :kind"
            " AND document_id = ANY(CAST(:ids AS text[]))",
            kind=kind,
            ids=list(document_ids),
        )
    values = [
        (kind, document_id, change.requirement_id, change.time_type, change.effective_from, *one)
        for document_id, changes in impacts.items()
        for change, repricings in changes.items()
        for one in repricings
    ]
    await insert_rows(connection, "fee_realizer.rate_impact", RATE_IMPACT, values)


def impact_of_row(row: Any) -> tuple[str, RateChange, Repricing]:
    """Return a stored rate impact from a row with the columns RATE_IMPACT."""
    return row[1], RateChange(*row[2:5]), Repricing(*row[5:])
