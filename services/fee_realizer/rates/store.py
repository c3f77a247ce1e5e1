"""Bill rates that operators set and confirm, and the impact of changes on invoiced lines."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.facts.store import rows_of
from services.fee_realizer.rates.rules import ImpactRow
from services.fee_realizer.requirements.rules import RateBookChange
from services.fee_realizer.requirements.store import RequirementUpdate, save_rate_versions
from services.fee_realizer.sources.rules.repricing import RateChange, Repricing
from services.fee_realizer.sources.store.realizations import RATE_IMPACT, impact_of_row
from shared.database import rows, run
from shared.money import plain, rounded
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
# Document id, the change of rates, and what it does to one line.
DocumentRepricing = tuple[str, RateChange, Repricing]


async def save_rate_book(
    connection: AsyncConnection, update: RequirementUpdate, change: RateBookChange, actor: str
) -> None:
    """Save the next state of a rate book that an operator changed, under the requirement's lock."""
    update.ended = [(version, change.book) for version in change.ended]
    update.begun = list(change.begun)
    await save_rate_versions(connection, [update], actor)
    await run(
        connection,
        "UPDATE fee_realizer.requirement SET rate_book = :book WHERE requirement_id = :id",
        book=change.book,
        id=update.requirement_id,
    )


async def add_confirmation(
    connection: AsyncConnection,
    change: RateChange,
    book: int,
    *,
    actor: str,
    reason: str,
    command_id: str,
) -> None:
    """Keep that an operator confirmed a change for invoiced lines."""
    await run(
        connection,
        "INSERT INTO fee_realizer.rate_confirmation"
        " (requirement_id, time_type, effective_from, rate_book, actor, reason, command_id)"
        " VALUES (:id, :time_type, :day, :book, :actor, :reason, :command_id)"
        " ON CONFLICT DO NOTHING",
        id=change.requirement_id,
        time_type=change.time_type,
        day=change.effective_from,
        book=book,
        actor=actor,
        reason=reason,
        command_id=command_id,
    )


async def stored_impact(
    connection: AsyncConnection, requirement_id: str | None, kind: str = "timesheet"
) -> list[DocumentRepricing]:
    """Return the impact of unconfirmed changes: of one requirement (or assignment), or of all."""
    return [
        impact_of_row(row)
        for row in await rows(
            connection,
            f"SELECT {', '.join(RATE_IMPACT)} FROM fee_realizer.rate_impact"
            " WHERE document_kind = :kind"
            " AND (CAST(:id AS text) IS NULL OR requirement_id = :id)"
            " ORDER BY requirement_id, time_type, effective_from, document_id, line_key",
            kind=kind,
            id=requirement_id,
        )
    ]


async def impact_count(connection: AsyncConnection, requirement_id: str | None) -> int:
    """Return how many rows `stored_impact` returns."""
    ((count,),) = await rows(
        connection,
        "SELECT count(*) FROM fee_realizer.rate_impact WHERE document_kind = 'timesheet'"
        " AND (CAST(:id AS text) IS NULL OR requirement_id = :id)",
        id=requirement_id,
    )
    return int(count)


async def summed_impact(
    connection: AsyncConnection, requirement_id: str | None, most: int
) -> list[dict[str, Any]]:
    """Return the impact by change and currency, the largest first."""
    return [
        dict(row._mapping)
        | {
            "hours": plain(row.hours),
            "old": str(rounded(row.old, row.currency)),
            "new": str(rounded(row.new, row.currency)),
            "net": str(rounded(row.new - row.old, row.currency)),
        }
        for row in await rows(
            connection,
            QUERIES["summed_impact"],
            id=requirement_id,
            most=most,
        )
    ]


async def with_invoices(
    connection: AsyncConnection,
    repricings: Sequence[DocumentRepricing],
    kind: str = "timesheet",
) -> list[ImpactRow]:
    """Add to each repricing the newest invoice that has its line key."""
    invoices: dict[tuple[str, str], tuple[str, str]] = {}
    for row in await rows_of(
        connection,
        "SELECT document_id, line_key, invoice_number, account_name"
        " FROM invoicer.invoiced_line_key WHERE document_kind = :kind"
        " AND document_id = ANY(CAST(:ids AS text[])) ORDER BY invoice_id",
        {document_id for document_id, _, _ in repricings},
        kind=kind,
    ):
        invoices[row.document_id, row.line_key] = (row.invoice_number, row.account_name)
    return [
        ImpactRow(document_id, change, one, *invoices.get((document_id, one.line_key), ("", "")))
        for document_id, change, one in repricings
    ]


async def documents_of(
    connection: AsyncConnection, requirement_id: str, after: str, most: int, *, queued: bool
) -> list[str]:
    """Return timesheets that name a requirement, by id, after one; only `queued` ones or all."""
    in_queue = """
        AND EXISTS (SELECT FROM fee_realizer.pricing_queue q
          WHERE q.document_kind = f.document_kind AND q.document_id = f.document_id)
    """
    return [
        row.document_id
        for row in await rows(
            connection,
            f"""
        SELECT f.document_id FROM fee_realizer.document_fact f
        WHERE f.fact_kind = 'requirement' AND f.fact_id = :id
          AND f.document_kind = 'timesheet' AND f.document_id > :after
          {in_queue if queued else ""}
        ORDER BY f.document_id LIMIT :most
        """,
            id=requirement_id,
            after=after,
            most=most,
        )
    ]


async def changed_documents(
    connection: AsyncConnection, change: RateChange, until: date | None
) -> tuple[int, str]:
    """Return how many timesheets get another open value by a rate, and the rate's currency.

    `until`: the from-date of the next version, None if there is none.
    """
    ((count, currency),) = await rows(
        connection,
        QUERIES["changed_documents"],
        id=change.requirement_id,
        time_type=change.time_type,
        since=change.effective_from,
        until=until,
    )
    return int(count), str(currency)


async def queued_count(connection: AsyncConnection, requirement_id: str | None) -> int:
    """Return how many timesheets are queued for pricing: of one requirement, or all."""
    ((count,),) = await rows(
        connection,
        QUERIES["queued_count"],
        id=requirement_id,
    )
    return int(count)
