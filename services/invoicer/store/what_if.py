"""Keeps what one cut-off selects, narrowly, while the next one is selected over the same snapshot; compares two of them."""

from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.rules.cycles import Span
from services.invoicer.rules.what_if import Apart
from shared.database import rows, run

KEEP_SQL = """
CREATE TEMP TABLE side_{number} ON COMMIT DROP AS
SELECT pay_line_id, CAST(out_no AS smallint) AS out_no, debtor_no, currency, amount, week_ending FROM picked"""

APART_SQL = """
SELECT a.debtor_no, a.currency, a.out_no AS out_before, b.out_no AS out_after, count(*) AS lines, sum(a.amount) AS amount,
       min(a.week_ending) AS first_week, max(a.week_ending) AS last_week
FROM side_{before} a JOIN side_{after} b ON b.pay_line_id = a.pay_line_id
WHERE (a.out_no = 0) <> (b.out_no = 0)
GROUP BY a.debtor_no, a.currency, a.out_no, b.out_no ORDER BY a.debtor_no, a.currency, a.out_no, b.out_no"""


LINES_SQL = """
SELECT debtor_no, currency, out_before, out_after, array_agg(pay_line_id ORDER BY pay_line_id) AS pay_line_ids
FROM (SELECT a.debtor_no, a.currency, a.out_no AS out_before, b.out_no AS out_after, a.pay_line_id,
             row_number() OVER (PARTITION BY a.debtor_no, a.currency, a.out_no, b.out_no ORDER BY a.pay_line_id) AS place
      FROM side_{before} a JOIN side_{after} b ON b.pay_line_id = a.pay_line_id
      WHERE (a.out_no = 0) <> (b.out_no = 0)) l
WHERE place <= {most} GROUP BY debtor_no, currency, out_before, out_after"""
MOST_LINES = 20


async def keep(connection: AsyncConnection, number: int) -> None:
    """Puts a selection aside under a number and clears its tables away, so that another one can be made."""
    await run(connection, KEEP_SQL.format(number=number))
    left = await rows(
        connection,
        "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r' AND relname NOT LIKE 'side\\_%' ORDER BY relname",
    )
    await run(connection, "DROP TABLE " + ", ".join(f"pg_temp.{row.relname}" for row in left))


async def apart(connection: AsyncConnection, before: int, after: int) -> list[Apart]:
    """The lines that are in one of two selections only, added up by debtor, currency and reason; of each the first ids."""
    named = await rows(connection, LINES_SQL.format(before=before, after=after, most=MOST_LINES))
    ids = {
        (row.debtor_no, row.currency, row.out_before, row.out_after): tuple(row.pay_line_ids)
        for row in named
    }
    return [
        _apart(row, ids)
        for row in await rows(connection, APART_SQL.format(before=before, after=after))
    ]


def _apart(row: Any, ids: dict[tuple[int, str, int, int], tuple[int, ...]]) -> Apart:
    first: date | None = row.first_week
    weeks = None if first is None else Span(first, row.last_week)
    named = ids[row.debtor_no, row.currency, row.out_before, row.out_after]
    return Apart(
        row.debtor_no,
        row.currency,
        row.lines,
        row.amount,
        weeks,
        row.out_before,
        row.out_after,
        named,
    )
