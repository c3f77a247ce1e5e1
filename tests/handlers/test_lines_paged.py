"""Pages of pay lines: every line once, in each order, with what is filtered and its totals."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.console.queries.pay_lines import (
    SORTS,
    STATUSES,
    LineFilter,
    line_totals,
    page_of_lines,
)
from tests.builders import COMPANY
from tests.handlers.billed import TODAY, Biller, biller
from tests.handlers.test_invoices_shown import read
from tests.handlers.test_lines_shown import lines_of_two_debtors

__all__ = ["biller"]

TODAYS = {COMPANY: TODAY}


async def all_pages(biller: Biller, chosen: LineFilter, sort: str) -> list[dict[str, Any]]:
    """The lines of all pages of two lines."""
    found: list[dict[str, Any]] = []
    after = None
    for _ in range(20):
        rows, after = await read(
            biller, page_of_lines, TODAYS, chosen, sort=sort, after=after, limit=2
        )
        found += rows
        if after is None:
            return found
    raise AssertionError("the pages have no end")


async def test_pages_have_each_line_once_in_every_order(biller: Biller) -> None:
    """Invoiced lines, a credit and an open line, two a page: the same lines in each order."""
    await lines_of_two_debtors(biller)
    every = LineFilter(STATUSES)
    orders = {sort: await all_pages(biller, every, sort) for sort in SORTS}
    ids = sorted(row["pay_line_id"] for row in orders["oldest"])
    assert len(set(ids)) == 3
    for rows in orders.values():
        assert sorted(row["pay_line_id"] for row in rows) == ids
    assert [row["pay_line_id"] for row in orders["oldest"]] == ids
    assert [row["pay_line_id"] for row in orders["newest"]] == ids[::-1]
    amounts = [row["amount"] for row in orders["largest"]]
    assert amounts == sorted(amounts, reverse=True) == amounts[:1] + amounts[1:]
    assert [row["amount"] for row in orders["smallest"]] == amounts[::-1]


async def test_totals_are_of_what_is_filtered(biller: Biller) -> None:
    """The totals of a filter are those of its lines; nothing is counted for no status."""
    await lines_of_two_debtors(biller)
    for chosen in (
        LineFilter(STATUSES),
        LineFilter(),
        LineFilter(account_name="Alpha"),
        LineFilter(STATUSES, document="T-1"),
        LineFilter(STATUSES, corrects="INV-000001"),
        LineFilter(STATUSES, week=date(2026, 10, 25)),
    ):
        rows = await all_pages(biller, chosen, "oldest")
        (total,) = await read(biller, line_totals, TODAYS, chosen)
        assert total["lines"] == len(rows) > 0
        assert total["amount"] == sum(row["amount"] for row in rows)
    assert await read(biller, line_totals, TODAYS, LineFilter(())) == []
    assert await read(biller, page_of_lines, TODAYS, LineFilter(())) == ([], None)


@pytest.mark.parametrize(
    ("conditions", "documents"),
    [
        ({"week": date(2026, 10, 25)}, {"T-2"}),
        ({"worker": "W-1", "document": "T-1"}, {"T-1"}),
        ({"worker": "no one"}, set()),
        ({"reason": "PO MISSING"}, {"T-2"}),
        ({"reason": "dispute"}, set()),
    ],
    ids=["week", "worker and document", "another worker", "hold reason", "another reason"],
)
async def test_lines_are_filtered_by_worker_week_and_reason(
    biller: Biller, conditions: dict[str, Any], documents: set[str]
) -> None:
    """A line is found by its worker, its week, and a part of the reason of its hold."""
    await lines_of_two_debtors(biller)
    (open_line,) = await all_pages(biller, LineFilter(document="T-2"), "oldest")
    snoozed = await biller.tell(
        "snooze-pay-lines", pay_line_ids=[open_line["pay_line_id"]], reason="po missing, asked"
    )
    assert snoozed["outcome"] == "accepted"
    rows = await all_pages(biller, LineFilter(STATUSES, **conditions), "oldest")
    assert {row["document_id"] for row in rows} == documents
    assert all(isinstance(row["amount"], Decimal) for row in rows)
