"""Who is placed, whose timesheets are in, and which are held: read through the views of fee_realizer, and only of the debtors asked about.

Of a requirement all its timesheets are looked at, because nothing in the books is kept by week; nobody is asked about debtors who bill
what is in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.rules.cycles import Span
from services.invoicer.rules.expected import Placed, Sheet
from services.invoicer.store.billto import RESOLVED_NODE_SQL
from shared.database import rows

PLACED_SQL = f"""
SELECT n.account_name, e.requirement_id, e.worker_id, e.start_date, e.end_date, e.filled_from, e.filled_to
FROM fee_realizer.expected_placement e
JOIN ({RESOLVED_NODE_SQL}) n ON n.node_id = e.office_id
WHERE e.billing_company = :company AND n.account_name IS NOT NULL
  AND (CAST(:names AS text[]) IS NULL OR n.account_name = ANY(CAST(:names AS text[])))"""

# The newest timesheet of a requirement tells on which day its weeks end. In is what is settled at its latest statement, so that its lines
# are open or on documents; and what is on a document, even if it lost its approval since.
SHEETS_SQL = """
WITH week AS MATERIALIZED (
  SELECT requirement_id, worker_id, week_ending, document_id, statement_no, hold_code
  FROM fee_realizer.timesheet_week WHERE requirement_id = ANY(CAST(:requirements AS text[])))
SELECT requirement_id, worker_id, week_ending, false AS newest FROM week w
WHERE w.week_ending BETWEEN :first AND :last
  AND (w.hold_code IS NULL AND EXISTS (SELECT FROM invoicer.settled_document s WHERE s.document_kind = 'timesheet' AND s.document_id = w.document_id
                                       AND s.statement_no >= w.statement_no AND s.statement_no > 0 AND s.statement_kind = 'realized')
       OR EXISTS (SELECT FROM invoicer.pay_line p JOIN invoicer.invoice_line l ON l.pay_line_id = p.pay_line_id
                  WHERE p.document_id = w.document_id AND p.document_kind = 'timesheet'))
UNION ALL
SELECT requirement_id, '', max(week_ending), true FROM week GROUP BY requirement_id"""

HELD_SQL = f"""
SELECT DISTINCT n.account_name, h.hold_code, h.document_id, h.week_ending
FROM fee_realizer.held_timesheet h
JOIN ({RESOLVED_NODE_SQL}) n ON n.node_id = h.office_id
WHERE h.billing_company = :company AND n.account_name IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class Held:
    """A timesheet that waits for its first missing step."""

    account_name: str
    code: str
    document_id: str
    week_ending: date


async def placed_for(connection: AsyncConnection, billing_company: str, account_names: Iterable[str] | None = None) -> list[Placed]:
    """Who is placed with these debtors (None: with any), whenever."""
    names = None if account_names is None else sorted(set(account_names))
    return [Placed(*row) for row in await rows(connection, PLACED_SQL, company=billing_company, names=names)]


async def sheets_for(connection: AsyncConnection, requirement_ids: Iterable[str], weeks: Span) -> tuple[list[Sheet], dict[str, int]]:
    """The timesheets of these requirements that are in, with week endings in these days; and on which day the weeks of each end."""
    ids = sorted(set(requirement_ids))
    if not ids:
        return [], {}
    found = await rows(connection, SHEETS_SQL, requirements=ids, first=weeks.first_day, last=weeks.last_day)
    sheets = [Sheet(row.requirement_id, row.worker_id, row.week_ending) for row in found if not row.newest]
    return sheets, {row.requirement_id: row.week_ending.isoweekday() for row in found if row.newest}


async def held_for(connection: AsyncConnection, billing_company: str) -> list[Held]:
    """The held timesheets of a company, with the debtors that they would go to."""
    return [Held(*row) for row in await rows(connection, HELD_SQL, company=billing_company)]
