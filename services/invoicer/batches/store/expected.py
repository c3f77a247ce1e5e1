"""Reads who is placed, whose timesheets are in, and which are held, only of the debtors asked for.

All timesheets of a requirement are read, because no table is keyed by week. Debtors that bill what
is in are not read at all.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.expected import ExpectedPlacement, ExpectedTimesheet
from services.invoicer.debtors.rules.cycles import Span
from services.invoicer.debtors.store.billto import RESOLVED_NODE_SQL
from shared.database import rows
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_name("expected.sql"))


@dataclass(frozen=True, slots=True, order=True)
class HeldTimesheet:
    """A timesheet that is held: the code of its hold, its document and its week."""

    account_name: str
    code: str
    document_id: str
    week_ending: date


async def placements_for(
    connection: AsyncConnection, billing_company: str, account_names: Collection[str] | None = None
) -> list[ExpectedPlacement]:
    """Return the placements with these debtors (None: with any).

    A placement comes once for each span in which its requirement may be billed.
    """
    placements = await rows(connection, QUERIES["placements"], company=billing_company)
    names = await account_names_of(connection, (row.office_id for row in placements))
    placements = [
        row
        for row in placements
        if row.office_id in names
        and (account_names is None or names[row.office_id] in account_names)
    ]
    spans: dict[str, list[tuple[date, date | None]]] = {}
    requirements = sorted({row.requirement_id for row in placements})
    for span in await rows(connection, QUERIES["billable_spans"], requirements=requirements):
        spans.setdefault(span.requirement_id, []).append((span.from_date, span.until))
    return [
        ExpectedPlacement(names[office_id], requirement_id, worker_id, start_date, end_date, *span)
        for office_id, requirement_id, worker_id, start_date, end_date in placements
        for span in spans.get(requirement_id, ())
    ]


async def account_names_of(
    connection: AsyncConnection, office_ids: Iterable[str]
) -> dict[str, str]:
    """Return the Account Name that pays for each office now; offices without one are left out."""
    query = f"{RESOLVED_NODE_SQL} WHERE n.node_id = ANY(CAST(:ids AS text[]))"
    return {
        row.node_id: row.account_name
        for row in await rows(connection, query, ids=sorted(set(office_ids)))
        if row.account_name
    }


async def timesheets_for(
    connection: AsyncConnection, requirement_ids: Iterable[str], weeks: Span
) -> tuple[list[ExpectedTimesheet], dict[str, int]]:
    """Return the timesheets of these requirements that are in, and the day their weeks end on.

    Timesheets: those with a week ending in `weeks`. Days: by requirement, 1 Monday ... 7 Sunday.
    """
    ids = sorted(set(requirement_ids))
    if not ids:
        return [], {}
    found = await rows(
        connection,
        QUERIES["received_timesheets"],
        requirements=ids,
        first=weeks.first_day,
        last=weeks.last_day,
    )
    timesheets = [ExpectedTimesheet(*row[:3]) for row in found if not row.newest]
    return timesheets, {
        row.requirement_id: row.week_ending.isoweekday() for row in found if row.newest
    }


async def held_for(connection: AsyncConnection, billing_company: str) -> list[HeldTimesheet]:
    """Return the held timesheets of a company with their debtors, sorted.

    A timesheet that two offices of a debtor share counts once.
    """
    found = await rows(connection, QUERIES["held_timesheets"], company=billing_company)
    names = await account_names_of(connection, (row.office_id for row in found))
    return sorted(
        {
            HeldTimesheet(names[row.office_id], row.hold_code, row.document_id, row.week_ending)
            for row in found
            if row.office_id in names
        }
    )
