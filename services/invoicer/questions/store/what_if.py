"""Keeps the selections of several cut-offs over the same snapshot, and compares two of them."""

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.store import selection
from services.invoicer.debtors.rules.cycles import Span
from services.invoicer.questions.rules import LineDifference
from shared.database import rows, run
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_name("what_if.sql"))
MOST_LINES = 20


async def keep_selection(connection: AsyncConnection, number: int) -> None:
    """Keep a selection under a number and drop its tables, so that another can be made."""
    await run(connection, QUERIES["keep_selection"].format(number=number))
    await selection.drop_tables(connection, kept_prefix="cut_off_")


async def differences_between(
    connection: AsyncConnection, before: int, after: int
) -> list[LineDifference]:
    """Return the lines that are in only one of two selections, with the first ids of each sum."""
    query = QUERIES["differences"].format(before=before, after=after)
    return [
        LineDifference(
            row.debtor_no,
            row.currency,
            row.lines,
            row.amount,
            None if row.first_week is None else Span(row.first_week, row.last_week),
            row.reason_before,
            row.reason_after,
            tuple(row.pay_line_ids),
        )
        for row in await rows(connection, query, most=MOST_LINES)
    ]
