"""What each debtor has open for a cut-off, added up from the selection: by debtor, kind of timesheet, and currency."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.rules import reasons
from shared.database import rows

# A document counts once in each kind: a late timesheet may have a line that is a correction as well.
COUNTS_SQL = """
SELECT k.debtor_no,
       count(DISTINCT p.document_id) FILTER (WHERE l.sheet AND NOT o.correction AND NOT l.late) AS timesheets,
       count(DISTINCT p.document_id) FILTER (WHERE l.sheet AND NOT o.correction AND l.late) AS late,
       count(DISTINCT p.document_id) FILTER (WHERE l.sheet AND o.correction) AS corrections,
       count(*) FILTER (WHERE NOT l.sheet) AS products
FROM picked k
JOIN debtor d ON d.debtor_no = k.debtor_no
JOIN invoicer.pay_line p ON p.pay_line_id = k.pay_line_id
JOIN invoicer.open_line o ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
CROSS JOIN LATERAL (SELECT p.line_kind = 'timesheet' AS sheet, coalesce(o.week_ending < d.weeks_from, false) AS late) l
WHERE k.out_no = ANY(CAST(:counted AS integer[]))
GROUP BY k.debtor_no"""

AMOUNTS_SQL = """
SELECT debtor_no, currency, count(*) FILTER (WHERE out_no = 0) AS lines, coalesce(sum(amount) FILTER (WHERE out_no = 0), 0) AS net,
       coalesce(sum(amount) FILTER (WHERE out_no <> 0), 0) AS kept
FROM picked WHERE out_no = ANY(CAST(:counted AS integer[])) GROUP BY debtor_no, currency ORDER BY debtor_no, currency"""

COUNTED = (
    reasons.IN,
    *(
        reasons.number(each)
        for each in (reasons.DEBTOR_PARKED, reasons.WAITS_FOR_TIMESHEETS, reasons.ZERO_TOTAL)
    ),
)
"""What is in, and what would be but for its debtor or its sum."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Net of a debtor's lines in one currency: of those that are in, and of those that are kept back."""

    currency: str
    lines: int
    net: Decimal
    kept: Decimal


@dataclass(frozen=True, slots=True)
class Counts:
    """Timesheets of the cycle, late ones, corrections (each a number of documents), and lines of products."""

    timesheets: int = 0
    late: int = 0
    corrections: int = 0
    products: int = 0


async def counts_by_debtor(connection: AsyncConnection) -> dict[int, Counts]:
    """By the number of the debtor in the selection."""
    return {
        row.debtor_no: Counts(*row[1:])
        for row in await rows(connection, COUNTS_SQL, counted=list(COUNTED))
    }


async def amounts_by_debtor(connection: AsyncConnection) -> dict[int, list[Amount]]:
    """By the number of the debtor in the selection, currency by currency."""
    found: dict[int, list[Amount]] = {}
    for row in await rows(connection, AMOUNTS_SQL, counted=list(COUNTED)):
        found.setdefault(row.debtor_no, []).append(Amount(*row[1:]))
    return found
