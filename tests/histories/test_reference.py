"""The reference against rows worked by hand: else both could be wrong in the same way.

Source: the tables in docs/billing.md.
"""

import ast
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from tests.histories.reference.assignments import Assignment, Setting, in_force
from tests.histories.reference.billing import (
    Allowance,
    Billing,
    Company,
    Cycle,
    Narrowed,
    Node,
    Way,
)
from tests.histories.reference.ledger import Ledger
from tests.histories.reference.pricing import Realization
from tests.histories.reference.values import Line, Pair, money, parts

WEEK = date(2026, 3, 8)
TIMESHEET = ("timesheet", "T")


class ReferenceCase:
    """One timesheet of one debtor, realization by realization."""

    def __init__(self, credits: str = "separate", tax: str = "15", *allowances: Allowance) -> None:
        self.ledger = Ledger()
        company = Company("acme", "A-", {date(2000, 1, 1): Decimal(tax)})
        way = Way(credits=credits, allowances=allowances)
        ways = {("acme", "Mercy"): {date(1970, 1, 1): way}}
        self.billing = Billing(
            self.ledger,
            WEEK,
            {"acme": company},
            {"office": Node("office", None, "Mercy")},
            {},
            ways,
        )
        self.number = 0

    def worth(self, **hours: str) -> None:
        """The next realization: hours by time type at 50.00, or `hours@price`."""
        self.number += 1
        lines = []
        for kind, said in hours.items():
            quantity, _, price = said.partition("@")
            amount = money(Decimal(quantity) * Decimal(price or "50"), "USD")
            worth, key = Pair(Decimal(quantity), amount), f'["t","R","{kind}"]'
            lines.append(
                Line(
                    key,
                    ("t", "R", kind),
                    "acme",
                    "office",
                    "USD",
                    worth,
                    Decimal(price or "50"),
                    WEEK,
                    WEEK,
                    (WEEK, WEEK),
                    "W",
                    "",
                )
            )
        self.ledger.consume(TIMESHEET, Realization(self.number, True, tuple(lines)))

    def batch(self) -> list[tuple[str, str]]:
        """Close a batch: type and net of its documents."""
        closed, _ = self.billing.batch("acme", Narrowed(WEEK))
        return [(one.kind, f"{one.net:f}") for one in closed]

    def credit(self, number: str, quantity: str, to: str) -> None:
        """Credit hours of the first line of a document."""
        (invoice,) = [one for one in self.billing.invoices if one.number == number]
        self.billing.credit(number, [(invoice.lines[0], Decimal(quantity))], to)

    @property
    def open(self) -> list[tuple[str, str]]:
        """Quantity and amount of what is open."""
        return [(f"{one.worth.quantity:f}", f"{one.worth.amount:f}") for one in self.ledger.lines()]


@pytest.mark.parametrize(
    ("said", "documents"),
    [
        (["38"], [("credit-note", "-100.00")]),
        (["41"], [("invoice", "50.00")]),
        (["38", "41"], [("invoice", "50.00")]),
        (["40"], []),
    ],
)
def test_an_adjustment_of_forty_hours(
    said: Sequence[str], documents: list[tuple[str, str]]
) -> None:
    """An original of 2,000.00 is invoiced and adjusted.

    To 38 h: a credit note of 100.00; to 41 h: an invoice of 50.00; to 38 h and then 41 h: only
    that.
    """
    case = ReferenceCase()
    case.worth(REG="40")
    assert case.batch() == [("invoice", "2000.00")]
    for hours in said:
        case.worth(REG=hours)
    assert case.batch() == documents
    assert case.open == []


def test_a_correction_is_a_difference_of_rounded_amounts() -> None:
    """2 h × 35.0350 = 70.07, then 1 h = 35.04: 35.03."""
    case = ReferenceCase()
    case.worth(REG="2@35.0350")
    case.batch()
    case.worth(REG="1@35.0350")
    assert case.batch() == [("credit-note", "-35.03")]


def test_the_newest_invoice_is_credited_first() -> None:
    """40 h and 1 h invoiced, then 38 h: 1 h and 2 h credited."""
    case = ReferenceCase()
    case.worth(REG="40")
    case.batch()
    case.worth(REG="41")
    case.batch()
    case.worth(REG="38")
    corrected = [
        (one.corrects.number, int(one.worth.quantity))
        for one in case.ledger.lines()
        if one.corrects is not None
    ]
    assert corrected == [("A-000002", -1), ("A-000001", -2)]


@pytest.mark.parametrize(
    ("credits", "documents"),
    [("separate", [("invoice", "150.00"), ("credit-note", "-150.00")]), ("net", [])],
)
def test_a_swap_of_time_types(credits: str, documents: list[tuple[str, str]]) -> None:
    """40 REG + 5 OT, both at 50.00, then 43 REG + 2 OT: two documents.

    Netted they sum to zero and wait.
    """
    case = ReferenceCase(credits)
    case.worth(REG="40", OT="5")
    case.batch()
    case.worth(REG="43", OT="2")
    assert case.batch() == documents


def test_forgiven_is_computed_afresh() -> None:
    """40 h invoiced, 2 h written off: 40, 39 and 38 h open nothing.

    36 h credit 2 h; 39 h again bill 1 h.
    """
    case = ReferenceCase()
    case.worth(REG="40")
    case.batch()
    case.credit("A-000001", "2", "write-off")
    for hours in ("40", "39", "38"):
        case.worth(REG=hours)
        assert case.open == []
    case.worth(REG="36")
    assert case.open == [("-2", "-100.00")]
    case.batch()
    case.worth(REG="39")
    assert case.open == [("1", "50.00")]


def test_hours_to_rebill_are_open_once() -> None:
    """8 h invoiced, 3.5 h credited to rebill, then 9 h: 4.5 h are open."""
    case = ReferenceCase()
    case.worth(REG="8")
    case.batch()
    case.credit("A-000001", "3.5", "rebill")
    assert case.open == [("3.5", "175.00")]
    case.worth(REG="9")
    assert case.open == [("4.5", "225.00")]


def test_the_last_credit_takes_the_rest_of_the_tax() -> None:
    """Tax 5.00 credited by thirds: 1.67, 1.67, 1.66."""
    case = ReferenceCase()
    case.worth(REG="3@11.11")
    case.batch()
    for _ in range(3):
        case.credit("A-000001", "1", "write-off")
    assert [f"{one.tax:f}" for one in case.billing.invoices] == ["5.00", "-1.67", "-1.67", "-1.66"]


def test_a_discount_and_a_line_credited_whole() -> None:
    """1,333.20 and 258.31 less 2.5 %, taxed at 20 %: 1,551.72 and 310.34; the second line credited
    whole is 251.85 and 50.37 (domain-rules 12).
    """
    case = ReferenceCase("separate", "20", Allowance("Volume", -1, Decimal("2.5"), of="timesheets"))
    case.worth(REG="40@33.33", OT="1@258.31")
    case.batch()
    (invoice,) = case.billing.invoices
    assert [f"{one.allowance:f}" for one in invoice.lines] == ["-33.33", "-6.46"]
    assert (f"{invoice.net:f}", f"{invoice.tax:f}") == ("1551.72", "310.34")
    case.billing.credit("A-000001", [(invoice.lines[1], None)], "write-off")
    note = case.billing.invoices[1]
    assert (f"{note.net:f}", f"{note.tax:f}") == ("-251.85", "-50.37")


def test_an_assignment_changes_its_price() -> None:
    """500.00 monthly on day 31 from 01-31 until 06-30; 550.00 from 04-15; then 480.00 from 03-01
    (domain-rules 12). An invoiced occurrence takes a price only when it is confirmed.
    """
    first, last, today = date(2026, 1, 31), date(2026, 6, 30), date(2026, 4, 1)
    assignment = Assignment("acme", "office", "USD")

    def amounts(number: int, since: date, price: str | None) -> list[tuple[str, str]]:
        setting = Setting(number, since, last, 31, (), None if price is None else Decimal(price))
        assignment.change(setting)
        made = assignment.realize(today)
        return [(f"{one.due:%m-%d}", f"{one.price * (not one.withdrawn)}") for one in made]

    every = ["01-31", "02-28", "03-31", "04-30", "05-31", "06-30"]
    assert amounts(1, first, "500") == [(due, "500") for due in every]
    assert amounts(2, date(2026, 4, 15), "550") == [(due, "550") for due in every[3:]]
    before = assignment.made[date(2026, 3, 31)]
    assert amounts(3, date(2026, 3, 1), "480") == [(due, "480") for due in every[2:]]
    after = assignment.made[date(2026, 3, 31)]
    revisions = {before.revision: before, after.revision: after}
    assert in_force(revisions, None) == (after, 3)
    assert in_force(revisions, 1) == (before, 1)
    revisions[4] = assignment.confirm(after)
    assert in_force(revisions, 1)[0].price == 480
    assert amounts(5, date(2026, 5, 1), None) == [("05-31", "0"), ("06-30", "0")]
    assert amounts(6, date(2026, 6, 1), "480") == [("06-30", "480")]


@pytest.mark.parametrize(
    ("total", "percents", "shares"),
    [
        ("100", ["33.34", "33.33", "33.33"], "33.34 33.33 33.33"),
        ("10000", ["50", "50"], "5000 5000"),
        ("0.05", ["50", "50"], "0.03 0.02"),
    ],
)
def test_parts_sum_to_the_whole(total: str, percents: list[str], shares: str) -> None:
    """100.00 in three is 33.34, 33.33, 33.33."""
    assert parts(Decimal(total), [Decimal(one) for one in percents], "USD") == [
        Decimal(one) for one in shares.split()
    ]


@pytest.mark.parametrize(
    ("cycle", "last_day"),
    [
        (Cycle("monthly"), "2010-08-31"),
        (Cycle("weekly", 6), "2010-09-05"),
        (Cycle("fortnightly", anchor=date(2010, 9, 5)), "2010-09-05"),
        (Cycle("fortnightly", anchor=date(2010, 9, 12)), "2010-08-29"),
        (
            Cycle(
                "custom",
                periods=(
                    (date(2010, 8, 20), date(2010, 9, 8)),
                    (date(2010, 9, 9), date(2010, 9, 30)),
                ),
            ),
            "2010-09-08",
        ),
    ],
)
def test_the_last_complete_cycle(cycle: Cycle, last_day: str) -> None:
    """FastTrack: cut-off 2010-09-09, a Thursday."""
    assert cycle.last_day(date(2010, 9, 9)) == date.fromisoformat(last_day)


def test_the_reference_shares_nothing_with_the_services() -> None:
    """It imports only the standard library and itself."""
    paths = list((Path(__file__).parent / "reference").glob("*.py"))
    assert len(paths) > 4
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not [name for name in names if name.split(".")[0] in ("services", "shared")], (
                f"{path.name} imports {names}"
            )
