"""Figures of the invoicer for dashboards: open lines by derived status, pending amounts, closed documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run

_OPEN = """
WITH day AS (SELECT * FROM unnest(CAST(:companies AS text[]), CAST(:days AS date[])) AS d(billing_company, today)),
line AS (
  SELECT o.billing_company, p.line_kind, p.currency, p.amount,
         CASE WHEN o.effective_date > coalesce(d.today, CAST(:elsewhere AS date)) THEN 'Scheduled'
              WHEN z.line_key IS NOT NULL AND p.corrects_invoice_id IS NULL
                   AND (z.until_date IS NULL OR z.until_date > coalesce(d.today, CAST(:elsewhere AS date))) THEN 'Snoozed'
              ELSE 'Pending' END AS status
  FROM invoicer.open_line o
  CROSS JOIN LATERAL (  -- by its key: a million open lines read a million facts, and no history
    SELECT line_kind, currency, amount, corrects_invoice_id, document_kind, document_id, line_key
    FROM invoicer.pay_line WHERE pay_line_id = o.pay_line_id OFFSET 0) p
  LEFT JOIN day d ON d.billing_company = o.billing_company
  LEFT JOIN invoicer.snooze z ON z.document_kind = p.document_kind AND z.document_id = p.document_id AND z.line_key = p.line_key)
SELECT billing_company, line_kind, currency, status, count(*) AS lines, sum(amount) AS amount FROM line GROUP BY 1, 2, 3, 4
"""


@dataclass(frozen=True, slots=True)
class OpenFigure:
    """Open lines of a company, kind, currency and status."""

    billing_company: str
    line_kind: str
    currency: str
    status: str
    lines: int
    amount: Decimal


async def zones(connection: AsyncConnection) -> dict[str, str]:
    """Time zones of the billing companies that are known."""
    return {
        row.billing_company: row.time_zone
        for row in await rows(
            connection,
            "SELECT billing_company, time_zone FROM fee_realizer.billing_company_settings",
        )
    }


async def open_figures(
    connection: AsyncConnection, days: Mapping[str, date], elsewhere: date
) -> list[OpenFigure]:
    """Open lines by the status that they have today; `elsewhere`: today of companies that nobody knows."""
    await run(
        connection, "SET LOCAL max_parallel_workers_per_gather = 0"
    )  # a look for people takes no processor from a batch
    found = await rows(
        connection, _OPEN, companies=list(days), days=list(days.values()), elsewhere=elsewhere
    )
    return [
        OpenFigure(
            row.billing_company, row.line_kind, row.currency, row.status, row.lines, row.amount
        )
        for row in found
    ]


async def document_figures(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    """How many documents of each type a company closed."""
    found = await rows(
        connection,
        "SELECT billing_company, document_type, count(*) AS documents FROM invoicer.invoice GROUP BY 1, 2",
    )
    return {(row.billing_company, row.document_type): row.documents for row in found}
