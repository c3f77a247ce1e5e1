"""Who is placed, whose timesheets are in, and which are held: read through the views of fee_realizer, and only of the debtors asked about.

Of a requirement all its timesheets are looked at, because nothing in the books is kept by week; nobody is asked about debtors who bill
what is in. Each question is answered by keys that the one before gave: PostgreSQL knows nothing of how many rows a JSON body matches, and
joined in one statement it compares everything with everything.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.expected import ExpectedPlacement, ExpectedTimesheet
from services.invoicer.debtors.rules.cycles import Span
from services.invoicer.debtors.store.billto import RESOLVED_NODE_SQL
from shared.database import rows

PLACED_SQL = """
SELECT office_id, requirement_id, worker_id, start_date, end_date FROM fee_realizer.expected_placement WHERE billing_company = :company"""

SPANS_SQL = """
SELECT requirement_id, from_date, until FROM fee_realizer.billable_span WHERE requirement_id = ANY(CAST(:requirements AS text[]))"""

# The newest timesheet of a requirement tells on which day its weeks end. In is what is settled at its latest statement, so that its lines
# are open or on documents; and what is on a document, even if it lost its approval since.
SHEETS_SQL = """
WITH week AS MATERIALIZED (
  SELECT requirement_id, worker_id, week_ending, document_id, realization_no, hold_code
  FROM fee_realizer.timesheet_week WHERE requirement_id = ANY(CAST(:requirements AS text[])))
SELECT requirement_id, worker_id, week_ending, false AS newest FROM week w
WHERE w.week_ending BETWEEN :first AND :last
  AND coalesce(
    (SELECT true FROM invoicer.settled_document s WHERE s.document_kind = 'timesheet' AND s.document_id = w.document_id AND w.hold_code IS NULL
     AND s.realization_no >= w.realization_no AND s.realization_no > 0 AND s.realization_kind = 'realized'),
    (SELECT true FROM invoicer.pay_line p CROSS JOIN LATERAL (SELECT FROM invoicer.invoice_line i WHERE i.pay_line_id = p.pay_line_id OFFSET 0) l
     WHERE p.document_id = w.document_id AND p.document_kind = 'timesheet' LIMIT 1),
    false)
UNION ALL
SELECT requirement_id, '', max(week_ending), true FROM week GROUP BY requirement_id"""

HELD_SQL = "SELECT DISTINCT office_id, hold_code, document_id, week_ending FROM fee_realizer.held_timesheet WHERE billing_company = :company"


@dataclass(frozen=True, slots=True, order=True)
class HeldTimesheet:
    """A timesheet that waits for its first missing step."""

    account_name: str
    code: str
    document_id: str
    week_ending: date


async def placements_for(
    connection: AsyncConnection, billing_company: str, account_names: Collection[str] | None = None
) -> list[ExpectedPlacement]:
    """Who is placed with these debtors (None: with any), whenever; once for each span in which the requirement may be billed."""
    found = await rows(connection, PLACED_SQL, company=billing_company)
    names = await account_names_of(connection, (row.office_id for row in found))
    mine = [
        row
        for row in found
        if row.office_id in names
        and (account_names is None or names[row.office_id] in account_names)
    ]
    spans: dict[str, list[tuple[date, date | None]]] = {}
    for span in await rows(
        connection, SPANS_SQL, requirements=sorted({row.requirement_id for row in mine})
    ):
        spans.setdefault(span.requirement_id, []).append((span.from_date, span.until))
    return [
        ExpectedPlacement(
            names[row.office_id],
            row.requirement_id,
            row.worker_id,
            row.start_date,
            row.end_date,
            *span,
        )
        for row in mine
        for span in spans.get(row.requirement_id, ())
    ]


async def account_names_of(
    connection: AsyncConnection, office_ids: Iterable[str]
) -> dict[str, str]:
    """By office, the Account Name of who pays for it as the hierarchy stands now; offices without are left out."""
    query = f"{RESOLVED_NODE_SQL} WHERE n.node_id = ANY(CAST(:ids AS text[]))"
    return {
        row.node_id: row.account_name
        for row in await rows(connection, query, ids=sorted(set(office_ids)))
        if row.account_name
    }


async def timesheets_for(
    connection: AsyncConnection, requirement_ids: Iterable[str], weeks: Span
) -> tuple[list[ExpectedTimesheet], dict[str, int]]:
    """The timesheets of these requirements that are in, with week endings in these days; and on which day the weeks of each end."""
    ids = sorted(set(requirement_ids))
    if not ids:
        return [], {}
    found = await rows(
        connection, SHEETS_SQL, requirements=ids, first=weeks.first_day, last=weeks.last_day
    )
    timesheets = [
        ExpectedTimesheet(row.requirement_id, row.worker_id, row.week_ending)
        for row in found
        if not row.newest
    ]
    return timesheets, {
        row.requirement_id: row.week_ending.isoweekday() for row in found if row.newest
    }


async def held_for(connection: AsyncConnection, billing_company: str) -> list[HeldTimesheet]:
    """The held timesheets of a company, with the debtors that they would go to: one that two of a debtor's offices share counts once."""
    found = await rows(connection, HELD_SQL, company=billing_company)
    names = await account_names_of(connection, (row.office_id for row in found))
    return sorted(
        {
            HeldTimesheet(names[row.office_id], row.hold_code, row.document_id, row.week_ending)
            for row in found
            if row.office_id in names
        }
    )
