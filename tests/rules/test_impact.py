"""What a change of bill rates would do to lines on documents, and what is taken when it is confirmed. Source: domain rules 6."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.fee_realizer.rules.facts import Confirmed, Facts, RateVersion
from services.fee_realizer.rules.impact import Change, Impacted, confirmed, impact, summed
from services.fee_realizer.rules.rates import COMMAND, set_rate, turned_rates
from services.fee_realizer.rules.timesheets import Realized, realize_timesheet
from tests.builders import entry, timesheet
from tests.rules.test_fee_realizer_worth import facts_with, version

CITED = {("REQ-1", "REG"): 1}
D = Decimal


def realized(sheet: Any, facts: Facts) -> Realized:
    """What the sheet is worth with lines on documents that cite book 1."""
    worth = realize_timesheet(sheet, facts, CITED)
    assert isinstance(worth, Realized)
    return worth


def told(sheet: Any, facts: Facts) -> list[tuple[str, str, str, str, str]]:
    """From-date, hours, old, new and net of each change."""
    found = impact(sheet, facts, CITED, realized(sheet, facts))
    rows = summed(
        [Impacted("T-1", change, one) for change, moves in found.items() for one in moves],
        "effective_from",
    )
    return [
        tuple(str(row[name]) for name in ("effective_from", "hours", "old", "new", "net"))
        for row in rows
    ]  # type: ignore[misc]


def test_a_change_is_named_by_the_version_that_holds_now() -> None:
    """Each change by itself; a Wednesday splits its week; a price that was taken away is named by the one that holds again."""
    rates = (version("50"), version("60", "2026-03-04", books=(2, None)))
    assert told(timesheet(), facts_with(*rates, rate_book=2)) == [
        ("2026-03-04", "24", "1200.00", "1440.00", "240.00")
    ]
    gone = (version("50"), version("60", "2026-03-04", books=(1, 2)))
    assert told(timesheet(), facts_with(*gone, rate_book=2)) == [
        ("2020-01-01", "24", "1440.00", "1200.00", "-240.00")
    ]
    assert (
        told(
            timesheet(),
            facts_with(version("50"), version("70", "2026-04-01", books=(2, None)), rate_book=2),
        )
        == []
    )


def test_the_same_price_in_another_version_is_no_change() -> None:
    """A rate version is (requirement, time type, from-date, price): who set it is no part of it."""
    rates = (version("50"), version("50", source="command", books=(2, None)))
    assert told(timesheet(), facts_with(*rates, rate_book=2)) == []


def test_what_is_confirmed_is_the_price_of_that_day() -> None:
    """Replays and re-pricings later keep it, and only that version is taken."""
    rates = (
        version("50"),
        version("60", "2026-03-04", books=(2, 3)),
        version("65", "2026-03-04", books=(3, None)),
    )
    facts = facts_with(*rates, rate_book=3)
    then = replace(facts.requirements["REQ-1"], confirmed=(Confirmed("REG", date(2026, 3, 4), 2),))
    facts = Facts({"REQ-1": then}, facts.companies, facts.items)
    lines = [
        (line["rate_version"], line["amount"], line["rate_book"])
        for line in realized(timesheet(), facts).lines
    ]
    assert lines == [("2020-01-01@50", "800", 1), ("2026-03-04@60", "1440", 1)]
    assert told(timesheet(), facts) == [("2026-03-04", "24", "1440.00", "1560.00", "120.00")]
    uncited = realize_timesheet(timesheet(), facts, {("REQ-1", "REG"): 2})
    assert isinstance(uncited, Realized)
    assert [line["rate_version"] for line in uncited.lines] == ["2020-01-01@50", "2026-03-04@60"], (
        "what cites the book itself needs no confirmation"
    )


def test_an_operator_s_price_takes_the_unit_of_its_time_type() -> None:
    """Per hour, day or unit: the command names a price only. An edited price is a new version; the same again turns no page."""
    standing = [version("400", unit="DAY"), version("75", time_type="OT")]
    turned = set_rate(standing, "REG", date(2026, 3, 4), D("420"), 4)
    assert [(one.unit, one.source, one.since_book) for one in turned.begun] == [("DAY", COMMAND, 5)]
    after = turned_rates(standing, turned)
    again = set_rate(
        [one for one in after if one.until_book is None], "REG", date(2026, 3, 4), D("420.00"), 5
    )
    assert (again.book, again.begun) == (5, ())
    edited = set_rate(after, "REG", date(2026, 3, 4), D("430"), 5)
    assert (edited.book, [one.unit_price for one in edited.ended]) == (6, [D("420")])
    assert set_rate(standing, "DT", date(2026, 3, 4), D("1"), 4).begun[0].unit == "HUR"
    assert set_rate(standing, "REG", date(2019, 1, 1), D("1"), 4).begun[0].unit == "DAY"


PRICES = st.integers(1, 999_999).map(lambda units: D(units).scaleb(-4))
WORKED = st.lists(
    st.tuples(st.integers(1, 96), st.integers(0, 4), st.sampled_from(["", "PO-1"])),
    min_size=1,
    max_size=8,
)


@given(
    WORKED,
    PRICES,
    st.lists(
        st.tuples(PRICES, st.integers(2, 6)), min_size=1, max_size=3, unique_by=lambda one: one[1]
    ),
)
def test_an_impact_is_what_confirming_comes_to(
    worked: list[tuple[int, int, str]], old: Decimal, changes: list[tuple[Decimal, int]]
) -> None:
    """The net that is said of a change is the difference of what the document is worth before and after, to the cent; confirming all
    comes to the prices in force."""
    sheet = timesheet(
        entries=[
            entry(f"{quarters / 4}", f"2026-03-0{2 + day}", po_number=po)
            for quarters, day, po in worked
        ]
    )
    rates: list[RateVersion] = [
        version(str(old)),
        *(version(str(price), f"2026-03-0{day}", books=(2, None)) for price, day in changes),
    ]
    facts = facts_with(*rates, rate_book=2)
    for _ in range(len(changes) + 1):
        now = realized(sheet, facts)
        found = impact(sheet, facts, CITED, now)
        for change, moves in found.items():
            then = realized(sheet, confirmed(facts, change))
            assert sum(one.new_amount - one.old_amount for one in moves) == total(then) - total(now)
        if not found:
            break
        facts = confirmed(facts, sorted(found)[0])
    newest = realize_timesheet(sheet, facts, {})
    assert isinstance(newest, Realized)
    assert [(line["line_key"], line["amount"]) for line in realized(sheet, facts).lines] == [
        (line["line_key"], line["amount"]) for line in newest.lines
    ]


def total(worth: Realized) -> Decimal:
    """The sum of a worth."""
    return sum((D(line["amount"]) for line in worth.lines), D(0))


def test_a_change_sorts_by_its_name() -> None:
    """So that answers list it in one order."""
    assert (
        Change("A", "OT", date(2026, 1, 1))
        < Change("A", "REG", date(2020, 1, 1))
        < Change("B", "OT", date(2020, 1, 1))
    )
