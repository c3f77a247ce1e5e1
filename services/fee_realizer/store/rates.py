"""Bill rates that operators set and confirm, and where lines on documents keep another price than the one in force."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.rules.facts import Confirmed
from services.fee_realizer.rules.impact import Change, Impacted, Moved
from services.fee_realizer.rules.rates import Turned
from shared.database import rows, run
from shared.money import plain, rounded

DocumentMoves = Mapping[str, Mapping[Change, Sequence[Moved]]]
"""By document id, what each change of rates would do to it."""


async def turn(
    connection: AsyncConnection, requirement_id: str, turned: Turned, actor: str
) -> None:
    """Keeps the new state of a rate book that an operator turned. The requirement is locked FOR UPDATE."""
    for version in turned.ended:
        await run(
            connection,
            "UPDATE fee_realizer.rate_version SET until_book = :book WHERE requirement_id = :id AND time_type = :time_type"
            " AND effective_from = :day AND source = :source AND since_book = :since",
            book=turned.book,
            id=requirement_id,
            time_type=version.time_type,
            day=version.effective_from,
            source=version.source,
            since=version.since_book,
        )
    for version in turned.begun:
        await run(
            connection,
            "INSERT INTO fee_realizer.rate_version (requirement_id, time_type, effective_from, source, unit_price, unit, since_book, actor)"
            " VALUES (:id, :time_type, :day, :source, :price, :unit, :since, :actor)",
            id=requirement_id,
            time_type=version.time_type,
            day=version.effective_from,
            source=version.source,
            price=version.unit_price,
            unit=version.unit,
            since=version.since_book,
            actor=actor,
        )
    await run(
        connection,
        "UPDATE fee_realizer.requirement SET rate_book = :book WHERE requirement_id = :id",
        book=turned.book,
        id=requirement_id,
    )


async def confirmations(
    connection: AsyncConnection, requirement_ids: Sequence[str]
) -> dict[str, tuple[Confirmed, ...]]:
    """What operators confirmed, the newest rate book first."""
    found: dict[str, tuple[Confirmed, ...]] = {}
    for row in await rows(
        connection,
        "SELECT requirement_id, time_type, effective_from, rate_book FROM fee_realizer.rate_confirmation"
        " WHERE requirement_id = ANY(CAST(:ids AS text[])) ORDER BY requirement_id, rate_book DESC, time_type, effective_from",
        ids=list(requirement_ids),
    ):
        found[row.requirement_id] = (
            *found.get(row.requirement_id, ()),
            Confirmed(row.time_type, row.effective_from, row.rate_book),
        )
    return found


async def add_confirmation(
    connection: AsyncConnection,
    change: Change,
    book: int,
    *,
    actor: str,
    reason: str,
    command_id: str,
) -> None:
    """Keeps that an operator let a version take its place on documents."""
    await run(
        connection,
        "INSERT INTO fee_realizer.rate_confirmation (requirement_id, time_type, effective_from, rate_book, actor, reason, command_id)"
        " VALUES (:id, :time_type, :day, :book, :actor, :reason, :command_id) ON CONFLICT DO NOTHING",
        id=change.requirement_id,
        time_type=change.time_type,
        day=change.effective_from,
        book=book,
        actor=actor,
        reason=reason,
        command_id=command_id,
    )


async def save_impact(
    connection: AsyncConnection, document_ids: Sequence[str], found: DocumentMoves
) -> None:
    """Replaces what is known of these timesheets."""
    if document_ids:
        await run(
            connection,
            "DELETE FROM fee_realizer.rate_impact WHERE document_id = ANY(CAST(:ids AS text[]))",
            ids=list(document_ids),
        )
    flat = [
        (document_id, change, one)
        for document_id, changes in found.items()
        for change, moves in changes.items()
        for one in moves
    ]
    if flat:
        await run(
            connection,
            "INSERT INTO fee_realizer.rate_impact (document_id, requirement_id, time_type, effective_from, line_key, billing_company, currency, unit,"
            " quantity, old_price, new_price, old_amount, new_amount)"
            " SELECT * FROM unnest(CAST(:documents AS text[]), CAST(:requirements AS text[]), CAST(:time_types AS text[]), CAST(:days AS date[]),"
            " CAST(:keys AS text[]), CAST(:companies AS text[]), CAST(:currencies AS text[]), CAST(:units AS text[]), CAST(:quantities AS numeric[]),"
            " CAST(:old_prices AS numeric[]), CAST(:new_prices AS numeric[]), CAST(:old_amounts AS numeric[]), CAST(:new_amounts AS numeric[]))",
            documents=[document_id for document_id, _, _ in flat],
            requirements=[change.requirement_id for _, change, _ in flat],
            time_types=[change.time_type for _, change, _ in flat],
            days=[change.effective_from for _, change, _ in flat],
            keys=[one.line_key for _, _, one in flat],
            companies=[one.billing_company for _, _, one in flat],
            currencies=[one.currency for _, _, one in flat],
            units=[one.unit for _, _, one in flat],
            quantities=[one.quantity for _, _, one in flat],
            old_prices=[one.old_price for _, _, one in flat],
            new_prices=[one.new_price for _, _, one in flat],
            old_amounts=[one.old_amount for _, _, one in flat],
            new_amounts=[one.new_amount for _, _, one in flat],
        )


_IMPACT = (
    "SELECT document_id, requirement_id, time_type, effective_from, line_key, billing_company, currency, unit, quantity, old_price, new_price,"
    " old_amount, new_amount FROM fee_realizer.rate_impact WHERE (CAST(:id AS text) IS NULL OR requirement_id = :id)"
    " ORDER BY requirement_id, time_type, effective_from, document_id, line_key"
)


async def impacts(
    connection: AsyncConnection, requirement_id: str | None
) -> list[tuple[str, Change, Moved]]:
    """What is known of unconfirmed changes: of one requirement, or of all."""
    found = await rows(connection, _IMPACT, id=requirement_id)
    return [
        (
            row.document_id,
            Change(row.requirement_id, row.time_type, row.effective_from),
            Moved(
                row.line_key,
                row.requirement_id,
                row.time_type,
                row.billing_company,
                row.currency,
                row.unit,
                row.quantity,
                row.old_price,
                row.new_price,
                row.old_amount,
                row.new_amount,
            ),
        )
        for row in found
    ]


async def impact_count(connection: AsyncConnection, requirement_id: str | None) -> int:
    """How many rows `impacts` would give."""
    ((count,),) = await rows(
        connection,
        "SELECT count(*) FROM fee_realizer.rate_impact WHERE (CAST(:id AS text) IS NULL OR requirement_id = :id)",
        id=requirement_id,
    )
    return int(count)


async def impacts_added_up(
    connection: AsyncConnection, requirement_id: str | None, most: int
) -> list[dict[str, Any]]:
    """What is known of unconfirmed changes, by change and currency, the largest first: for when there are too many to look at each."""
    found = await rows(
        connection,
        "SELECT requirement_id, time_type, effective_from, currency, count(DISTINCT document_id) AS documents, count(*) AS lines, sum(quantity) AS hours,"
        " sum(old_amount) AS old, sum(new_amount) AS new FROM fee_realizer.rate_impact WHERE (CAST(:id AS text) IS NULL OR requirement_id = :id)"
        " GROUP BY requirement_id, time_type, effective_from, currency ORDER BY lines DESC, requirement_id, time_type, effective_from LIMIT :most",
        id=requirement_id,
        most=most,
    )
    return [
        {
            "requirement_id": row.requirement_id,
            "time_type": row.time_type,
            "effective_from": str(row.effective_from),
            "documents": row.documents,
            "lines": row.lines,
            "hours": plain(row.hours),
            "old": str(rounded(row.old, row.currency)),
            "new": str(rounded(row.new, row.currency)),
            "net": str(rounded(row.new - row.old, row.currency)),
            "currency": row.currency,
        }
        for row in found
    ]


async def on_documents(
    connection: AsyncConnection, moves: Sequence[tuple[str, Change, Moved]]
) -> list[Impacted]:
    """The same, each with the newest document on which its line key stands."""
    placed: dict[tuple[str, str], tuple[str, str]] = {}
    if moves:
        for row in await rows(
            connection,
            "SELECT document_id, line_key, invoice_number, account_name FROM invoicer.invoiced_line_key"
            " WHERE document_kind = 'timesheet' AND document_id = ANY(CAST(:ids AS text[])) ORDER BY invoice_id",
            ids=sorted({document_id for document_id, _, _ in moves}),
        ):
            placed[row.document_id, row.line_key] = (row.invoice_number, row.account_name)
    return [
        Impacted(document_id, change, one, *placed.get((document_id, one.line_key), ("", "")))
        for document_id, change, one in moves
    ]


async def documents_of(
    connection: AsyncConnection, requirement_id: str, after: str, most: int, *, queued: bool
) -> list[str]:
    """Timesheets that name a requirement, in the order of their ids, after one. `queued`: only those in line to be priced again."""
    found: list[Any] = await rows(
        connection,
        "SELECT f.document_id FROM fee_realizer.document_fact f WHERE f.fact_kind = 'requirement' AND f.fact_id = :id"
        " AND f.document_kind = 'timesheet' AND f.document_id > :after"
        + (
            " AND EXISTS (SELECT FROM fee_realizer.pricing_queue t WHERE t.document_kind = f.document_kind AND t.document_id = f.document_id)"
            if queued
            else ""
        )
        + " ORDER BY f.document_id LIMIT :most",
        id=requirement_id,
        after=after,
        most=most,
    )
    return [row.document_id for row in found]


async def queued_count(connection: AsyncConnection, requirement_id: str | None) -> int:
    """How many timesheets are in line to be priced again: of one requirement, or all."""
    ((count,),) = await rows(
        connection,
        "SELECT count(*) FROM fee_realizer.pricing_queue t WHERE t.document_kind = 'timesheet' AND (CAST(:id AS text) IS NULL OR EXISTS ("
        " SELECT FROM fee_realizer.document_fact f WHERE f.fact_kind = 'requirement' AND f.fact_id = :id"
        " AND f.document_kind = t.document_kind AND f.document_id = t.document_id))",
        id=requirement_id,
    )
    return int(count)
