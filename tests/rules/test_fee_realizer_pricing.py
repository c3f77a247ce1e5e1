"""Pricing: hours × rate, fees in instalments, rate books, holds."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fee_realizer.requirements.rules import (
    RateVersion,
    Requirement,
    StatusFrom,
    replace_ats_rates,
)
from services.fee_realizer.sources.rules.facts import (
    BillingCompany,
    CatalogItem,
    Facts,
    Held,
    Line,
    PricingResult,
    Realized,
)
from services.fee_realizer.sources.rules.timesheets import (
    CitedPrice,
    CitedPrices,
    realize_timesheet,
)
from services.fee_realizer.sources.rules.transitions import (
    realization_body,
)
from shared.events.ats import RateFrom
from shared.events.realizations import PayLinesRealized
from tests.builders import COMPANY, days, entry, timesheet


def version(
    price: str,
    since: str = "2020-01-01",
    time_type: str = "REG",
    source: str = "ats",
    unit: str = "HUR",
    rate_books: tuple[int, int | None] = (1, None),
) -> RateVersion:
    """Return a rate version, in force since the first rate book by default."""
    return RateVersion(
        time_type, date.fromisoformat(since), source, Decimal(price), unit, *rate_books
    )


def facts_with(
    *rates: RateVersion, currency: str = "USD", item: CatalogItem | None = None, **changes: Any
) -> Facts:
    """Return REQ-1, Filled and Temp since 2020, of a known billing company."""
    requirement = Requirement(
        "REQ-1", True, COMPANY, "office-1", "Registered Nurse", currency, rate_book=1, rates=rates
    )
    requirement = replace(requirement, statuses=(StatusFrom(date(2020, 1, 1), "Filled", "Temp"),))
    items = {
        "DIRECT-HIRE": item
        or CatalogItem("DIRECT-HIRE", True, "Direct hire", percent_of_salary=Decimal(20))
    }
    return Facts(
        {"REQ-1": replace(requirement, **changes)}, {COMPANY: BillingCompany(COMPANY, True)}, items
    )


def lines_of(result: PricingResult) -> list[Line]:
    """Return the lines of a realized document."""
    assert isinstance(result, Realized), result
    head = {
        "document_kind": "timesheet",
        "document_id": "T-1",
        "realization_no": 1,
        "source_id": "T-1",
        "revision": 1,
        "cause": "test",
    }
    PayLinesRealized.model_validate_json(realization_body(head, "realized", result))
    return result.lines


def time_lines(
    entries: list[dict[str, Any]], facts: Facts, cited: CitedPrices | None = None
) -> list[tuple[str, str, str]]:
    """Return rate version, quantity and amount of each line of a timesheet."""
    return [
        (line["rate_version"], line["quantity"], line["amount"])
        for line in lines_of(realize_timesheet(timesheet(entries=entries), facts, cited or {}))
    ]


@pytest.mark.parametrize(
    ("hours", "price", "currency", "amount"),
    [
        ("20", "50.00", "USD", "1000"),
        ("2", "35.0350", "USD", "70.07"),
        ("1", "35.0350", "USD", "35.04"),
        ("7.5", "33.33", "USD", "249.98"),
        ("0.5", "1001", "JPY", "501"),
        ("1", "1.0005", "KWD", "1.001"),
    ],
)
def test_the_amount_is_rounded_half_up_to_the_minor_unit(
    hours: str, price: str, currency: str, amount: str
) -> None:
    """Quantity × rate is rounded half up: JPY 0, USD 2, KWD 3 decimals."""
    assert time_lines([entry(hours)], facts_with(version(price), currency=currency)) == [
        (f"2020-01-01@{Decimal(price).normalize():f}", hours, amount)
    ]


def test_hours_are_summed_and_rounded_once() -> None:
    """Hours are summed over the line key, the amount is rounded once.

    3 × 0.1 h × 0.05.
    """
    assert time_lines(
        [entry("0.1", f"2026-03-0{day}") for day in (2, 3, 4)], facts_with(version("0.05"))
    ) == [("2020-01-01@0.05", "0.3", "0.02")]


def test_a_rate_that_changes_on_a_wednesday_gives_two_lines() -> None:
    """One line per rate version; each keeps its service period."""
    lines = lines_of(
        realize_timesheet(
            timesheet(entries=days()), facts_with(version("50"), version("52", "2026-03-04")), {}
        )
    )
    assert [(line["amount"], line["service_from"], line["service_to"]) for line in lines] == [
        ("800", "2026-03-02", "2026-03-03"),
        ("1248", "2026-03-04", "2026-03-06"),
    ]
    assert {line["effective_date"] for line in lines} == {"2026-03-08"}


def test_the_commands_version_wins_for_one_date() -> None:
    """For one from-date the command's version wins; the latest from-date is in force."""
    rates = (
        version("50"),
        version("49", "2026-03-03"),
        version("60", "2026-03-03", source="command"),
        version("70", "2026-03-04", time_type="OT"),
    )
    assert time_lines(
        [entry("1", "2026-03-02"), entry("1", "2026-03-03"), entry("1", "2026-03-09")],
        facts_with(*rates),
    ) == [
        ("2020-01-01@50", "1", "50"),
        ("2026-03-03@60", "2", "120"),
    ]


def test_the_fields_of_an_entry_win_and_separate_lines() -> None:
    """Project, cost centre and PO are part of the key.

    The entry's own values win.
    """
    facts = facts_with(version("50"), po_number="PO-1", project="ward")
    lines = lines_of(
        realize_timesheet(
            timesheet(
                entries=[entry("1"), entry("2", po_number="PO-2"), entry("3", cost_center="c")]
            ),
            facts,
            {},
        )
    )
    assert [
        (line["quantity"], line["project"], line["cost_center"], line["po_number"])
        for line in lines
    ] == [
        ("1", "ward", "", "PO-1"),
        ("2", "ward", "", "PO-2"),
        ("3", "ward", "c", "PO-1"),
    ]
    assert lines[0]["line_key"] == '["t","REQ-1","REG","2020-01-01@50","ward","","PO-1"]'


def test_days_and_pieces_are_in_the_key() -> None:
    """Rates are per hour, day or unit; the version's name has the unit except hours."""
    (line,) = lines_of(
        realize_timesheet(
            timesheet(entries=[entry("1")]), facts_with(version("400.00", unit="DAY")), {}
        )
    )
    assert (line["rate_version"], line["unit"], line["derivation"]["formula"]) == (
        "2020-01-01@400/DAY",
        "DAY",
        "1 × 400.00 = 400.00",
    )


def test_invoiced_lines_keep_the_rate_book_that_they_cite() -> None:
    """An adjustment uses the cited rate book.

    A day before it has today's price.
    """
    rates = (version("50", "2026-03-03", rate_books=(1, 2)), version("55", rate_books=(2, None)))
    facts = facts_with(*rates, rate_book=2)
    assert time_lines(days(count=2), facts) == [("2020-01-01@55", "16", "880")]
    assert time_lines(days(count=2), facts, {("REQ-1", "REG"): CitedPrice(1)}) == [
        ("2020-01-01@55", "8", "440"),
        ("2026-03-03@50", "8", "400"),
    ]


@pytest.mark.parametrize("first", [0, 1])
def test_a_line_names_the_version_that_priced_it(first: int) -> None:
    """Each line names its own version, whichever timesheet is priced first.

    Here the ATS and, from rate book 3 on, a command have the same date and price.
    """
    facts = facts_with(
        version("50", rate_books=(1, None)),
        version("50", source="command", rate_books=(3, None)),
        rate_book=3,
    )
    one = timesheet(entries=[entry("8")])
    cited: list[CitedPrices] = [{("REQ-1", "REG"): CitedPrice(1)}, {}]
    sources = {}
    for at in (first, 1 - first):
        (line,) = lines_of(realize_timesheet(one, facts, cited[at]))
        sources[at] = (
            line["derivation"]["rate"]["source"],
            line["derivation"]["rate"]["book"],
            line["derivation"]["rate"]["cited"],
        )
    assert sources == {0: ("ats", "1", "yes"), 1: ("command", "3", "no")}


@given(
    st.lists(
        st.tuples(st.integers(1, 240000), st.integers(0, 6), st.sampled_from(["REG", "OT"])),
        min_size=1,
        max_size=20,
    )
)
def test_no_hour_is_lost(worked: list[tuple[int, int, str]]) -> None:
    """The hours of all lines are the hours of all entries, in any order."""
    entries = [
        entry(f"{units / 10000:.4f}", f"2026-03-0{2 + day}", kind) for units, day, kind in worked
    ]
    facts = facts_with(
        version("50"), version("51.1234", "2026-03-05"), version("75", time_type="OT")
    )
    lines = lines_of(realize_timesheet(timesheet(entries=entries), facts, {}))
    assert sum(Decimal(line["quantity"]) for line in lines) == sum(
        Decimal(one["hours"]) for one in entries
    )
    assert lines_of(realize_timesheet(timesheet(entries=entries[::-1]), facts, {})) == lines


# -- rate books


def ats_rates(*rates: tuple[str, str]) -> list[RateFrom]:
    """Return REG rates as the ATS sends them."""
    return [
        RateFrom(
            time_type="REG", effective_from=date.fromisoformat(since), bill_rate=Decimal(price)
        )
        for price, since in rates
    ]


def test_the_ats_replaces_its_own_rates() -> None:
    """A command's version stays; the rate book counts only changes.

    50 is 50.00.
    """
    own = version("60", "2026-02-01", source="command")
    versions = [version("50"), version("51", "2026-01-01"), own]
    change = replace_ats_rates(
        versions, ats_rates(("50.00", "2020-01-01"), ("52", "2026-01-01")), 3
    )
    assert (change.book, change.ended) == (4, [versions[1]])
    assert change.begun == [version("52", "2026-01-01", rate_books=(4, None))]
    assert (
        replace_ats_rates(
            [*versions[:2], own], ats_rates(("51.0", "2026-01-01"), ("50", "2020-01-01")), 3
        ).book
        == 3
    )
    assert replace_ats_rates(versions, [], 3).ended == versions[:2]


JUNE, JULY, AUGUST = date(2026, 6, 30), date(2026, 7, 1), date(2026, 8, 1)


@pytest.mark.parametrize(
    ("by_work_date", "cited", "divided"),
    [
        (False, None, False),
        (True, None, True),
        (True, CitedPrice(1, first_day=JUNE), False),
        (True, CitedPrice(1, first_day=JULY), True),
        (False, CitedPrice(1, first_day=JULY), False),
        (False, CitedPrice(1, by_work_date=True), True),
        (False, CitedPrice(1, by_work_date=True, first_day=JULY), True),
        (True, CitedPrice(1, by_work_date=True, first_day=JULY), True),
    ],
)
def test_a_week_on_both_sides_of_a_change_of_tax(
    by_work_date: bool, cited: CitedPrice | None, divided: bool
) -> None:
    """By work date, the entries on both sides are two line keys.

    Else the effective date decides for the whole week. Invoiced lines stay as they were divided,
    whatever the company chooses afterwards.
    """
    facts = facts_with(version("100"))
    company = BillingCompany(COMPANY, True, True, "approved", by_work_date, (JULY, AUGUST))
    facts.companies[COMPANY] = company
    entries = [entry("1", str(day)) for day in (JUNE, JULY)]
    one = timesheet(entries=entries, week_ending="2026-07-05")
    prices = {("REQ-1", "REG"): cited} if cited else {}
    lines = lines_of(realize_timesheet(one, facts, prices))
    plain_key = ["t", "REQ-1", "REG", "2020-01-01@100", "", "", ""]
    found = {
        tuple(json.loads(line["line_key"])): (line["quantity"], line.get("tax_date"))
        for line in lines
    }
    if divided:
        earlier = (*plain_key, "before 2026-07-01")
        assert found == {tuple(plain_key): ("1", None), earlier: ("1", "2026-06-30")}
    else:
        assert found == {tuple(plain_key): ("2", None)}


def test_a_week_on_one_side_of_a_change_of_tax_has_ordinary_keys() -> None:
    """A change on the first work day or after the week ending divides nothing."""
    facts = facts_with(version("100"))
    facts.companies[COMPANY] = BillingCompany(COMPANY, True, True, "approved", True, (JULY,))
    for days_of, week in (((JULY, date(2026, 7, 2)), "2026-07-05"), ((JUNE,), "2026-06-30")):
        entries = [entry("1", str(day)) for day in days_of]
        one = timesheet(entries=entries, week_ending=week)
        (line,) = lines_of(realize_timesheet(one, facts, {}))
        assert len(json.loads(line["line_key"])) == 7
        assert "tax_date" not in line


@pytest.mark.parametrize(
    ("known", "approved", "filled", "code"),
    [
        (False, False, False, "unknown_requirement"),
        (False, True, True, "unknown_requirement"),
        (True, False, False, "not_approved"),
        (True, False, True, "not_approved"),
        (True, True, False, "requirement_not_filled"),
    ],
)
def test_the_first_thing_that_a_timesheet_lacks_holds_it(
    known: bool, approved: bool, filled: bool, code: str
) -> None:
    """First the facts, then the steps of its approval, then the state of the requirement."""
    statuses = (StatusFrom(date(2020, 1, 1), "Filled" if filled else "Open", "Temp"),)
    facts = facts_with(known=known, statuses=statuses)
    stamps = {"approved_at": "2026-03-09T17:30:00Z"} if approved else {}
    held = realize_timesheet(timesheet(workflow=stamps), facts, {})
    assert isinstance(held, Held)
    assert held.code == code


def test_a_price_is_written_with_all_its_decimals() -> None:
    """At least those of the currency: 50.00, and 35.035 where there are more."""
    for price, written in (("50", "1 × 50.00 = 50.00"), ("35.0350", "1 × 35.035 = 35.04")):
        one = timesheet(entries=[entry("1")])
        (line,) = lines_of(realize_timesheet(one, facts_with(version(price)), {}))
        assert line["derivation"]["formula"] == written


def test_a_line_names_the_job_title_or_else_the_requirement() -> None:
    """The text of a line begins with what the client knows."""
    for title, first in (("Registered Nurse", "Registered Nurse · "), ("", "REQ-1 · ")):
        facts = facts_with(version("50"), job_title=title)
        (line,) = lines_of(realize_timesheet(timesheet(), facts, {}))
        assert line["description"].startswith(first)


def test_a_change_of_tax_on_the_last_day_divides_the_week() -> None:
    """The day of the change itself is taxed at the new rate."""
    facts = facts_with(version("100"))
    facts.companies[COMPANY] = BillingCompany(COMPANY, True, True, "approved", True, (JULY,))
    entries = [entry("1", str(day)) for day in (JUNE, JULY)]
    one = timesheet(entries=entries, week_ending=str(JULY))
    assert len(lines_of(realize_timesheet(one, facts, {}))) == 2


def test_the_status_of_a_day_is_the_latest_before_it() -> None:
    """Not the first one, and none before all of them."""
    open_first = StatusFrom(date(2026, 1, 1), "Open", "Temp")
    filled = StatusFrom(date(2026, 3, 1), "Filled", "Temp")
    requirement = facts_with(statuses=(open_first, filled)).requirement("REQ-1")
    days_of = (date(2025, 12, 31), date(2026, 2, 28), date(2026, 3, 1))
    assert [requirement.status_on(day) for day in days_of] == [None, open_first, filled]
