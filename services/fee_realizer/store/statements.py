"""Statements as they were said, what the invoicer knows of them, and the line of documents that are to be priced again."""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.rules.facts import Line
from shared.database import rows, run


class NewRealization(NamedTuple):
    """A statement to be kept, with the event's value byte for byte."""

    document_kind: str
    document_id: str
    realization_no: int
    realization_kind: str
    source_id: str
    revision: int
    cause: str
    body: str


async def last_statements(
    connection: AsyncConnection, kind: str, ids: Sequence[str]
) -> dict[str, tuple[str, list[Line]]]:
    """Kind and lines of the latest statement of each document that has one."""
    if not ids:
        return {}
    found = await rows(
        connection,
        "SELECT d.document_id, s.realization_kind, s.body FROM fee_realizer.source_document d JOIN fee_realizer.realization s"
        " ON s.document_kind = d.document_kind AND s.document_id = d.document_id AND s.realization_no = d.realization_no"
        " WHERE d.document_kind = :kind AND d.document_id = ANY(CAST(:ids AS text[]))",
        kind=kind,
        ids=list(ids),
    )
    return {row.document_id: (row.realization_kind, json.loads(row.body)["lines"]) for row in found}


async def cited_books(
    connection: AsyncConnection, kind: str, ids: Sequence[str]
) -> dict[str, dict[tuple[str, str], int]]:
    """Of documents with invoiced lines: the rate book that those cite, by requirement and time type."""
    found: dict[str, dict[tuple[str, str], int]] = {}
    if ids:
        for row in await rows(
            connection,
            "SELECT document_id, requirement_id, time_type, rate_book FROM invoicer.cited_rate_version"
            " WHERE document_kind = :kind AND document_id = ANY(CAST(:ids AS text[]))",
            kind=kind,
            ids=list(ids),
        ):
            found.setdefault(row.document_id, {})[row.requirement_id, row.time_type] = row.rate_book
    return found


async def stale_statements(
    connection: AsyncConnection, kind: str, ids: Sequence[str]
) -> dict[str, int]:
    """Of documents whose statement the invoicer left unsettled: that statement's number."""
    if not ids:
        return {}
    found = await rows(
        connection,
        "SELECT document_id, stale_realization_no FROM invoicer.stale_price_basis WHERE document_kind = :kind AND document_id = ANY(CAST(:ids AS text[]))",
        kind=kind,
        ids=list(ids),
    )
    return {row.document_id: row.stale_realization_no for row in found}


async def stale_documents(connection: AsyncConnection, limit: int) -> list[tuple[str, str]]:
    """Documents (kind, id) whose latest statement is stale."""
    found = await rows(
        connection,
        "SELECT d.document_kind, d.document_id FROM invoicer.stale_price_basis s JOIN fee_realizer.source_document d"
        " ON d.document_kind = s.document_kind AND d.document_id = s.document_id AND d.realization_no = s.stale_realization_no"
        " ORDER BY d.document_kind, d.document_id LIMIT :most",
        most=limit,
    )
    return [(row.document_kind, row.document_id) for row in found]


async def queued(connection: AsyncConnection, limit: int) -> dict[tuple[str, str], str]:
    """Documents (kind, id) in line to be priced again, with the cause. Not locked: facts come before documents, and these after both."""
    found = await rows(
        connection,
        "SELECT document_kind, document_id, cause FROM fee_realizer.pricing_queue ORDER BY document_kind, document_id LIMIT :most",
        most=limit,
    )
    return {(row.document_kind, row.document_id): row.cause for row in found}


async def drop_queued(connection: AsyncConnection, documents: Iterable[tuple[str, str]]) -> None:
    """Takes priced documents out of the line. Who changes a fact of theirs meanwhile waits for its lock, and lines them up again."""
    pairs = sorted(documents)
    await run(
        connection,
        "DELETE FROM fee_realizer.pricing_queue t USING unnest(CAST(:kinds AS text[]), CAST(:ids AS text[])) AS s(kind, id)"
        " WHERE t.document_kind = s.kind AND t.document_id = s.id",
        kinds=[kind for kind, _ in pairs],
        ids=[document_id for _, document_id in pairs],
    )


async def queue_held(
    connection: AsyncConnection,
    cause: str,
    kind: str | None = None,
    document_id: str | None = None,
    code: str | None = None,
) -> int:
    """Puts held documents in line: all, of one kind, one, or those with one code."""
    return await run(
        connection,
        "INSERT INTO fee_realizer.pricing_queue SELECT document_kind, document_id, CAST(:cause AS text) FROM fee_realizer.source_document"
        " WHERE hold_code IS NOT NULL AND (CAST(:kind AS text) IS NULL OR document_kind = :kind)"
        " AND (CAST(:id AS text) IS NULL OR document_id = :id) AND (CAST(:code AS text) IS NULL OR hold_code = :code)"
        " ORDER BY document_kind, document_id ON CONFLICT DO NOTHING",
        cause=cause,
        kind=kind,
        id=document_id,
        code=code,
    )


async def held_counts(connection: AsyncConnection) -> dict[str, int]:
    """How many documents wait, by code."""
    found = await rows(
        connection,
        "SELECT hold_code, count(*) AS held FROM fee_realizer.source_document WHERE hold_code IS NOT NULL GROUP BY hold_code",
    )
    return {row.hold_code: row.held for row in found}


async def said_statements(
    connection: AsyncConnection,
    kind: str | None,
    document_id: str | None,
    since: date | None,
    limit: int,
) -> list[tuple[str, str, int]]:
    """Statements (kind, id, number) of a document, or issued since a date (UTC)."""
    found = await rows(
        connection,
        "SELECT document_kind, document_id, realization_no FROM fee_realizer.realization"
        " WHERE (CAST(:kind AS text) IS NULL OR document_kind = :kind) AND (CAST(:id AS text) IS NULL OR document_id = :id)"
        " AND (CAST(:since AS date) IS NULL OR issued_at >= CAST(:since AS date)) ORDER BY issued_at, document_kind, document_id, realization_no LIMIT :most",
        kind=kind,
        id=document_id,
        since=since,
        most=limit,
    )
    return [(row.document_kind, row.document_id, row.realization_no) for row in found]


async def said_holds(
    connection: AsyncConnection,
    kind: str | None,
    document_id: str | None,
    since: date | None,
    limit: int,
) -> list[tuple[str, str, int]]:
    """Holds (kind, id, number of the announcement) of a document, or that began since a date (UTC)."""
    found = await rows(
        connection,
        "SELECT document_kind, document_id, hold_no FROM fee_realizer.source_document WHERE hold_code IS NOT NULL"
        " AND (CAST(:kind AS text) IS NULL OR document_kind = :kind) AND (CAST(:id AS text) IS NULL OR document_id = :id)"
        " AND (CAST(:since AS date) IS NULL OR held_since >= CAST(:since AS date)) ORDER BY document_kind, document_id LIMIT :most",
        kind=kind,
        id=document_id,
        since=since,
        most=limit,
    )
    return [(row.document_kind, row.document_id, row.hold_no) for row in found]
