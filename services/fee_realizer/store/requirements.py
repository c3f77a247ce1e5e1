"""Requirements as the ATS says them: each revision, the newest in force, statuses, and the versions of the rate book."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.rules.facts import RateVersion
from services.fee_realizer.store.facts import add_stubs
from shared.database import rows, run
from shared.events.ats import RequirementChanged

RevisionKey = tuple[str, int]
Bodies = Mapping[RevisionKey, str]
FIELDS = ("billing_company", "office_id", "job_title", "currency")
ENGAGEMENT = ("project", "cost_center", "po_number")


@dataclass(slots=True)
class Order:
    """A requirement, locked FOR UPDATE, to be changed and written back."""

    requirement_id: str
    known: bool
    closed: bool
    revision: int
    rate_book: int
    event: RequirementChanged | None = None
    body: str = ""
    ended: list[tuple[RateVersion, int]] = field(default_factory=list)
    begun: list[RateVersion] = field(default_factory=list)


async def lock_orders(
    connection: AsyncConnection, requirement_ids: Iterable[str]
) -> dict[str, Order]:
    """Locks requirements for change, in order; those that nobody told us about are made."""
    wanted = sorted(set(requirement_ids))
    await add_stubs(connection, "requirement", wanted)
    found = await rows(
        connection,
        "SELECT requirement_id, known, closed, revision, rate_book FROM fee_realizer.requirement"
        " WHERE requirement_id = ANY(CAST(:ids AS text[])) ORDER BY requirement_id FOR UPDATE",
        ids=wanted,
    )
    return {
        row.requirement_id: Order(
            row.requirement_id, row.known, row.closed, row.revision, row.rate_book
        )
        for row in found
    }


async def order_bodies(
    connection: AsyncConnection, keys: Iterable[RevisionKey]
) -> dict[RevisionKey, str]:
    """Stored revisions, as JSON text."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    found = await rows(
        connection,
        "SELECT r.requirement_id, r.revision, CAST(r.body AS text) AS body"
        " FROM unnest(CAST(:ids AS text[]), CAST(:revisions AS bigint[])) AS s(requirement_id, revision)"
        " JOIN fee_realizer.requirement_revision r ON r.requirement_id = s.requirement_id AND r.revision = s.revision",
        ids=[key[0] for key in wanted],
        revisions=[key[1] for key in wanted],
    )
    return {(row.requirement_id, row.revision): row.body for row in found}


async def add_order_revisions(connection: AsyncConnection, revisions: Bodies) -> None:
    """Keeps what the ATS said."""
    if revisions:
        await run(
            connection,
            "INSERT INTO fee_realizer.requirement_revision (requirement_id, revision, body)"
            " SELECT id, revision, CAST(body AS jsonb)"
            " FROM unnest(CAST(:ids AS text[]), CAST(:revisions AS bigint[]), CAST(:bodies AS text[])) AS s(id, revision, body)",
            ids=[key[0] for key in revisions],
            revisions=[key[1] for key in revisions],
            bodies=list(revisions.values()),
        )


async def save_orders(connection: AsyncConnection, orders: Sequence[Order]) -> None:
    """Writes the newest state of requirements: fields, statuses, rate versions."""
    told = [(order, order.event) for order in orders if order.event is not None]
    if not told:
        return
    values = {name: [getattr(event, name) for _, event in told] for name in FIELDS}
    values |= {name: [getattr(event.engagement, name) for _, event in told] for name in ENGAGEMENT}
    await run(
        connection,
        "UPDATE fee_realizer.requirement r SET known = true, revision = s.revision, rate_book = s.rate_book, body = CAST(s.body AS jsonb),"
        f" {', '.join(f'{name} = s.{name}' for name in (*FIELDS, *ENGAGEMENT))}"
        " FROM unnest(CAST(:ids AS text[]), CAST(:revisions AS bigint[]), CAST(:books AS integer[]), CAST(:bodies AS text[]),"
        f" {', '.join(f'CAST(:{name} AS text[])' for name in (*FIELDS, *ENGAGEMENT))})"
        f" AS s(requirement_id, revision, rate_book, body, {', '.join((*FIELDS, *ENGAGEMENT))})"
        " WHERE r.requirement_id = s.requirement_id",
        ids=[order.requirement_id for order, _ in told],
        revisions=[order.revision for order, _ in told],
        books=[order.rate_book for order, _ in told],
        bodies=[order.body for order, _ in told],
        **values,
    )
    await _save_statuses(connection, [event for _, event in told])
    await _save_rates(connection, [order for order, _ in told])


async def close_orders(connection: AsyncConnection, requirement_ids: Sequence[str]) -> None:
    """Marks requirements as closed from now on: what exists, and what comes later, is judged by its statuses all the same."""
    if requirement_ids:
        await run(
            connection,
            "UPDATE fee_realizer.requirement SET closed = true WHERE requirement_id = ANY(CAST(:ids AS text[])) AND NOT closed",
            ids=list(requirement_ids),
        )


async def _save_statuses(connection: AsyncConnection, events: Sequence[RequirementChanged]) -> None:
    await run(
        connection,
        "DELETE FROM fee_realizer.requirement_status WHERE requirement_id = ANY(CAST(:ids AS text[]))",
        ids=[event.requirement_id for event in events],
    )
    statuses = [(event.requirement_id, status) for event in events for status in event.statuses]
    if statuses:
        await run(
            connection,
            "INSERT INTO fee_realizer.requirement_status (requirement_id, from_date, status, position_type)"
            " SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:days AS date[]), CAST(:statuses AS text[]), CAST(:positions AS text[]))",
            ids=[requirement_id for requirement_id, _ in statuses],
            days=[status.from_date for _, status in statuses],
            statuses=[status.status for _, status in statuses],
            positions=[status.position_type for _, status in statuses],
        )


async def _save_rates(connection: AsyncConnection, orders: Sequence[Order]) -> None:
    begun = [(order.requirement_id, version) for order in orders for version in order.begun]
    if begun:
        await run(
            connection,
            "INSERT INTO fee_realizer.rate_version"
            " (requirement_id, time_type, effective_from, source, unit_price, unit, since_book, until_book, actor)"
            " SELECT *, 'ats' FROM unnest(CAST(:ids AS text[]), CAST(:time_types AS text[]), CAST(:days AS date[]), CAST(:sources AS text[]),"
            " CAST(:prices AS numeric[]), CAST(:units AS text[]), CAST(:since AS integer[]), CAST(:until AS integer[]))",
            ids=[requirement_id for requirement_id, _ in begun],
            time_types=[version.time_type for _, version in begun],
            days=[version.effective_from for _, version in begun],
            sources=[version.source for _, version in begun],
            prices=[version.unit_price for _, version in begun],
            units=[version.unit for _, version in begun],
            since=[version.since_book for _, version in begun],
            until=[version.until_book for _, version in begun],
        )
    ended = [
        (order.requirement_id, version, book) for order in orders for version, book in order.ended
    ]
    if ended:
        await run(
            connection,
            "UPDATE fee_realizer.rate_version r SET until_book = s.until_book"
            " FROM unnest(CAST(:ids AS text[]), CAST(:time_types AS text[]), CAST(:days AS date[]), CAST(:sources AS text[]),"
            " CAST(:since AS integer[]), CAST(:until AS integer[])) AS s(requirement_id, time_type, effective_from, source, since_book, until_book)"
            " WHERE r.requirement_id = s.requirement_id AND r.time_type = s.time_type AND r.effective_from = s.effective_from"
            " AND r.source = s.source AND r.since_book = s.since_book",
            ids=[requirement_id for requirement_id, _, _ in ended],
            time_types=[version.time_type for _, version, _ in ended],
            days=[version.effective_from for _, version, _ in ended],
            sources=[version.source for _, version, _ in ended],
            since=[version.since_book for _, version, _ in ended],
            until=[book for _, _, book in ended],
        )
