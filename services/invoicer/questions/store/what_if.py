"""Keeps what one cut-off selects, narrowly, while the next one is selected over the same snapshot; compares two of them."""

from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.store import selection
from services.invoicer.debtors.rules.cycles import Span
from services.invoicer.questions.rules import LineDifference
from shared.database import rows, run

KEEP_SQL = """
CREATE TEMP TABLE cut_off_{number} ON COMMIT DROP AS
SELECT pay_line_id, CAST(exclusion_reason AS smallint) AS exclusion_reason, debtor_no, currency, amount, week_ending FROM selected_line"""

APART_SQL = """
SELECT a.debtor_no, a.currency, a.exclusion_reason AS reason_before, b.exclusion_reason AS reason_after, count(*) AS lines, sum(a.amount) AS amount,
       min(a.week_ending) AS first_week, max(a.week_ending) AS last_week
FROM cut_off_{before} a JOIN cut_off_{after} b ON b.pay_line_id = a.pay_line_id
WHERE (a.exclusion_reason = 0) <> (b.exclusion_reason = 0)
GROUP BY a.debtor_no, a.currency, a.exclusion_reason, b.exclusion_reason ORDER BY a.debtor_no, a.currency, a.exclusion_reason, b.exclusion_reason"""


LINES_SQL = """
SELECT debtor_no, currency, reason_before, reason_after, array_agg(pay_line_id ORDER BY pay_line_id) AS pay_line_ids
FROM (SELECT a.debtor_no, a.currency, a.exclusion_reason AS reason_before, b.exclusion_reason AS reason_after, a.pay_line_id,
             row_number() OVER (PARTITION BY a.debtor_no, a.currency, a.exclusion_reason, b.exclusion_reason ORDER BY a.pay_line_id) AS place
      FROM cut_off_{before} a JOIN cut_off_{after} b ON b.pay_line_id = a.pay_line_id
      WHERE (a.exclusion_reason = 0) <> (b.exclusion_reason = 0)) l
WHERE place <= {most} GROUP BY debtor_no, currency, reason_before, reason_after"""
MOST_LINES = 20


async def keep_selection(connection: AsyncConnection, number: int) -> None:
    """Puts a selection aside under a number and clears its tables away, so that another one can be made."""
    await run(connection, KEEP_SQL.format(number=number))
    await selection.drop_tables(connection, kept_prefix="cut_off_")


async def differences_between(
    connection: AsyncConnection, before: int, after: int
) -> list[LineDifference]:
    """The lines that are in one of two selections only, added up by debtor, currency and reason; of each the first ids."""
    named = await rows(connection, LINES_SQL.format(before=before, after=after, most=MOST_LINES))
    ids = {
        (row.debtor_no, row.currency, row.reason_before, row.reason_after): tuple(row.pay_line_ids)
        for row in named
    }
    return [
        _apart(row, ids)
        for row in await rows(connection, APART_SQL.format(before=before, after=after))
    ]


def _apart(row: Any, ids: dict[tuple[int, str, int, int], tuple[int, ...]]) -> LineDifference:
    first: date | None = row.first_week
    weeks = None if first is None else Span(first, row.last_week)
    named = ids[row.debtor_no, row.currency, row.reason_before, row.reason_after]
    return LineDifference(
        row.debtor_no,
        row.currency,
        row.lines,
        row.amount,
        weeks,
        row.reason_before,
        row.reason_after,
        named,
    )
