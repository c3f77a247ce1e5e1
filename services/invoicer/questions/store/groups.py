"""What each debtor has open for a cut-off, added up from the selection: by debtor, kind of timesheet, and currency."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from shared.database import rows

# A document counts once in each kind: a late timesheet may have a line that is a correction as well.
COUNTS_SQL = """
SELECT k.debtor_no,
       count(DISTINCT p.document_id) FILTER (WHERE l.is_time AND NOT o.correction AND NOT l.late) AS timesheets,
       count(DISTINCT p.document_id) FILTER (WHERE l.is_time AND NOT o.correction AND l.late) AS late,
       count(DISTINCT p.document_id) FILTER (WHERE l.is_time AND o.correction) AS corrections,
       count(*) FILTER (WHERE NOT l.is_time) AS products
FROM selected_line k
JOIN debtor_decision d ON d.debtor_no = k.debtor_no
JOIN invoicer.pay_line p ON p.pay_line_id = k.pay_line_id
JOIN invoicer.open_line o ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
CROSS JOIN LATERAL (SELECT p.line_kind = 'timesheet' AS is_time, coalesce(o.week_ending < d.weeks_from, false) AS late) l
WHERE k.exclusion_reason = ANY(CAST(:counted AS integer[]))
GROUP BY k.debtor_no"""

AMOUNTS_SQL = """
SELECT debtor_no, currency, count(*) FILTER (WHERE exclusion_reason = 0) AS lines, coalesce(sum(amount) FILTER (WHERE exclusion_reason = 0), 0) AS net,
       coalesce(sum(amount) FILTER (WHERE exclusion_reason <> 0), 0) AS kept
FROM selected_line WHERE exclusion_reason = ANY(CAST(:counted AS integer[])) GROUP BY debtor_no, currency ORDER BY debtor_no, currency"""

COUNTED = (
    reasons.IN,
    *(
        reasons.number(each)
        for each in (reasons.DEBTOR_PARKED, reasons.WAITS_FOR_TIMESHEETS, reasons.ZERO_TOTAL)
    ),
)
"""What is in, and what would be but for its debtor or its sum."""


@dataclass(frozen=True, slots=True)
class DebtorAmount:
    """Net of a debtor's lines in one currency: of those that are in, and of those that are kept back."""

    currency: str
    lines: int
    net: Decimal
    kept: Decimal


@dataclass(frozen=True, slots=True)
class DebtorCounts:
    """Timesheets of the cycle, late ones, corrections (each a number of documents), and lines of products."""

    timesheets: int = 0
    late: int = 0
    corrections: int = 0
    products: int = 0


async def counts_by_debtor(connection: AsyncConnection) -> dict[int, DebtorCounts]:
    """By the number of the debtor in the selection."""
    return {
        row.debtor_no: DebtorCounts(*row[1:])
        for row in await rows(connection, COUNTS_SQL, counted=list(COUNTED))
    }


async def amounts_by_debtor(connection: AsyncConnection) -> dict[int, list[DebtorAmount]]:
    """By the number of the debtor in the selection, currency by currency."""
    found: dict[int, list[DebtorAmount]] = {}
    for row in await rows(connection, AMOUNTS_SQL, counted=list(COUNTED)):
        found.setdefault(row.debtor_no, []).append(DebtorAmount(*row[1:]))
    return found
