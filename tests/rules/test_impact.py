"""The impact of rate changes on invoiced lines, and the price after a confirmation."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.fee_realizer.rates.rules import ImpactRow, sum_impact
from services.fee_realizer.requirements.rules import (
    COMMAND,
    RateConfirmation,
    RateVersion,
    set_operator_rate,
)
from services.fee_realizer.sources.rules.facts import Facts, Realized
from services.fee_realizer.sources.rules.repricing import (
    RateChange,
    Repricing,
    unconfirmed_changes,
    with_confirmation,
)
from services.fee_realizer.sources.rules.timesheets import CitedPrice, realize_timesheet
from tests.builders import entry, timesheet
from tests.rules.test_fee_realizer_pricing import facts_with, version

CITED = {("REQ-1", "REG"): CitedPrice(1)}
D = Decimal


def realized(one: Any, facts: Facts) -> Realized:
    """Price a timesheet whose invoiced lines cite rate book 1."""
    result = realize_timesheet(one, facts, CITED)
    assert isinstance(result, Realized)
    return result


def impact_of(one: Any, facts: Facts) -> list[tuple[str, str, str, str, str]]:
    """Return from-date, hours, old, new and net of each change."""
    found = unconfirmed_changes(one, facts, CITED, realized(one, facts))
    rows = sum_impact(
        [
            ImpactRow("T-1", change, one)
            for change, repricings in found.items()
            for one in repricings
        ],
        "effective_from",
    )
    return [
        tuple(str(row[name]) for name in ("effective_from", "hours", "old", "new", "net"))
        for row in rows
    ]  # type: ignore[misc]


def test_a_change_is_named_by_the_version_that_holds_now() -> None:
    """Each change alone; a change on a Wednesday splits the week.

    A removed price is named by the version that is in force again.
    """
    rates = (version("50"), version("60", "2026-03-04", rate_books=(2, None)))
    assert impact_of(timesheet(), facts_with(*rates, rate_book=2)) == [
        ("2026-03-04", "24", "1200.00", "1440.00", "240.00")
    ]
    gone = (version("50"), version("60", "2026-03-04", rate_books=(1, 2)))
    assert impact_of(timesheet(), facts_with(*gone, rate_book=2)) == [
        ("2020-01-01", "24", "1440.00", "1200.00", "-240.00")
    ]
    assert (
        impact_of(
            timesheet(),
            facts_with(
                version("50"), version("70", "2026-04-01", rate_books=(2, None)), rate_book=2
            ),
        )
        == []
    )


def test_impact_is_summed_by_labels_and_currency() -> None:
    """Each sum has the decimals of its own currency: none of JPY, three of KWD."""
    change = RateChange("REQ-1", "REG", date(2026, 3, 4))
    rows = [
        ImpactRow(
            document_id,
            change,
            Repricing("k", "acme", currency, "HUR", D(8), D(50), D(60), D(old), D(new)),
            account_name="Mercy",
        )
        for document_id, old, new, currency in (
            ("T-1", "400", "480", "JPY"),
            ("T-1", "4", "5", "JPY"),
            ("T-2", "1", "2", "JPY"),
            ("T-2", "400", "480.5", "KWD"),
        )
    ]
    for labels in ((), ("account_name",), ("time_type", "account_name")):
        yen, dinars = sum_impact(rows, *labels)
        assert (yen["documents"], yen["lines"], yen["hours"]) == (2, 3, "24")
        assert [yen[name] for name in ("old", "new", "net")] == ["405", "487", "82"]
        assert [dinars[name] for name in ("old", "new", "net")] == ["400.000", "480.500", "80.500"]


def test_the_same_price_in_another_version_is_no_change() -> None:
    """A rate version is (requirement, time type, from-date, price), whatever its source."""
    rates = (version("50"), version("50", source="command", rate_books=(2, None)))
    assert impact_of(timesheet(), facts_with(*rates, rate_book=2)) == []
    other = (version("50"), version("51", source="command", rate_books=(2, None)))
    assert len(impact_of(timesheet(), facts_with(*other, rate_book=2))) == 1


def test_what_is_confirmed_is_the_price_of_that_day() -> None:
    """Replays and later repricing keep the confirmed price, and only that version is used."""
    rates = (
        version("50"),
        version("60", "2026-03-04", rate_books=(2, 3)),
        version("65", "2026-03-04", rate_books=(3, None)),
    )
    facts = facts_with(*rates, rate_book=3)
    then = replace(
        facts.requirements["REQ-1"], confirmations=(RateConfirmation("REG", date(2026, 3, 4), 2),)
    )
    facts = Facts({"REQ-1": then}, facts.companies, facts.items)
    lines = [
        (line["rate_version"], line["amount"], line["rate_book"])
        for line in realized(timesheet(), facts).lines
    ]
    assert lines == [("2020-01-01@50", "800", 1), ("2026-03-04@60", "1440", 1)]
    assert impact_of(timesheet(), facts) == [("2026-03-04", "24", "1440.00", "1560.00", "120.00")]
    uncited = realize_timesheet(timesheet(), facts, {("REQ-1", "REG"): CitedPrice(2)})
    assert isinstance(uncited, Realized)
    assert [line["rate_version"] for line in uncited.lines] == ["2020-01-01@50", "2026-03-04@60"], (
        "what cites the book itself needs no confirmation"
    )


def test_the_price_of_an_operator_takes_the_unit_of_its_time_type() -> None:
    """The command names a price only.

    An edited price is a new version, a repeat changes nothing.
    """
    versions = [version("400", unit="DAY"), version("75", time_type="OT")]
    change = set_operator_rate(versions, "REG", date(2026, 3, 4), D("420"), 4)
    assert [(one.unit, one.source, one.since_book) for one in change.begun] == [("DAY", COMMAND, 5)]
    after = change.apply(versions)
    again = set_operator_rate(
        [one for one in after if one.until_book is None], "REG", date(2026, 3, 4), D("420.00"), 5
    )
    assert (again.book, again.begun) == (5, ())
    edited = set_operator_rate(after, "REG", date(2026, 3, 4), D("430"), 5)
    assert (edited.book, [one.unit_price for one in edited.ended]) == (6, [D("420")])
    assert set_operator_rate(versions, "DT", date(2026, 3, 4), D("1"), 4).begun[0].unit == "HUR"
    assert set_operator_rate(versions, "REG", date(2019, 1, 1), D("1"), 4).begun[0].unit == "DAY"


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
    """The net of a change is the difference that its confirmation makes, to the cent.

    After all changes are confirmed, the prices in force apply.
    """
    one = timesheet(
        entries=[
            entry(f"{quarters / 4}", f"2026-03-0{2 + day}", po_number=po)
            for quarters, day, po in worked
        ]
    )
    rates: list[RateVersion] = [
        version(str(old)),
        *(version(str(price), f"2026-03-0{day}", rate_books=(2, None)) for price, day in changes),
    ]
    facts = facts_with(*rates, rate_book=2)
    for _ in range(len(changes) + 1):
        now = realized(one, facts)
        found = unconfirmed_changes(one, facts, CITED, now)
        for change, repricings in found.items():
            then = realized(one, with_confirmation(facts, change))
            assert sum(one.new_amount - one.old_amount for one in repricings) == total(
                then
            ) - total(now)
        if not found:
            break
        facts = with_confirmation(facts, sorted(found)[0])
    newest = realize_timesheet(one, facts, {})
    assert isinstance(newest, Realized)
    assert [(line["line_key"], line["amount"]) for line in realized(one, facts).lines] == [
        (line["line_key"], line["amount"]) for line in newest.lines
    ]


def total(result: Realized) -> Decimal:
    """Return the sum of the lines."""
    return sum((D(line["amount"]) for line in result.lines), D(0))


def test_a_change_sorts_by_its_name() -> None:
    """Answers list changes in one order."""
    assert (
        RateChange("A", "OT", date(2026, 1, 1))
        < RateChange("A", "REG", date(2020, 1, 1))
        < RateChange("B", "OT", date(2020, 1, 1))
    )


def test_a_confirmation_counts_for_its_own_time_type_and_days() -> None:
    """One of overtime changes no regular hour; one without a price on a day changes nothing."""
    rates = (
        version("50", "2026-03-01", rate_books=(1, 2)),
        version("60", "2026-03-04", rate_books=(2, None)),
        version("75", "2026-03-04", "OT", rate_books=(2, None)),
    )
    day = date(2026, 3, 4)
    facts = facts_with(*rates, rate_book=2)
    requirement = facts.requirement("REQ-1")
    overtime = replace(requirement, confirmations=(RateConfirmation("OT", day, 2),))
    found = overtime.cited_rate("REG", 1, day)
    assert found is not None and found[0].unit_price == 50
    regular = replace(requirement, confirmations=(RateConfirmation("REG", day, 2),))
    found = regular.cited_rate("REG", 1, day)
    assert found is not None and found[0].unit_price == 60
    found = regular.cited_rate("REG", 1, date(2026, 3, 2))
    assert found is not None and found[0].unit_price == 50


def test_only_what_changes_its_price_is_in_the_impact() -> None:
    """Of two lines of a timesheet one keeps its price; entries that cite nothing are left out."""
    rates = (
        version("50"),
        version("55", "2026-03-03"),
        version("60", "2026-03-04", rate_books=(2, None)),
    )
    entries = [
        entry("8", "2026-03-02", "OT"),
        *(entry("8", day) for day in ("2026-03-02", "2026-03-03", "2026-03-04")),
    ]
    facts = facts_with(*rates, version("75", time_type="OT"), rate_book=2)
    one = timesheet(entries=entries)
    found = unconfirmed_changes(one, facts, CITED, realized(one, facts))
    moved = {change.effective_from: [each.quantity for each in of] for change, of in found.items()}
    assert moved == {date(2026, 3, 4): [8]}
