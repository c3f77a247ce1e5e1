"""What a document is worth: hours × rate, fees in parts, rate books, holds. Sources: domain rules 2, 3, 6, 7."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fee_realizer.rules.facts import (
    Company,
    Facts,
    Item,
    Line,
    Part,
    RateVersion,
    Requirement,
    StatusAt,
)
from services.fee_realizer.rules.gates import Held
from services.fee_realizer.rules.placements import realize_placement
from services.fee_realizer.rules.rates import turn_book
from services.fee_realizer.rules.statements import Standing, Step, realization_body, step, too_long
from services.fee_realizer.rules.timesheets import Cited, Realized, Worth, realize_timesheet
from shared.events.ats import RateFrom
from shared.events.realizations import PayLinesRealized
from tests.builders import COMPANY, days, entry, placement, timesheet


def version(
    price: str,
    since: str = "2020-01-01",
    time_type: str = "REG",
    source: str = "ats",
    unit: str = "HUR",
    books: tuple[int, int | None] = (1, None),
) -> RateVersion:
    """A rate version, in force since the first book unless told otherwise."""
    return RateVersion(time_type, date.fromisoformat(since), source, Decimal(price), unit, *books)


def facts_with(
    *rates: RateVersion, currency: str = "USD", item: Item | None = None, **changes: Any
) -> Facts:
    """REQ-1, Filled and Temp since 2020, of a known billing company."""
    requirement = Requirement(
        "REQ-1", True, COMPANY, "office-1", "Registered Nurse", currency, rate_book=1, rates=rates
    )
    requirement = replace(requirement, statuses=(StatusAt(date(2020, 1, 1), "Filled", "Temp"),))
    items = {
        "DIRECT-HIRE": item
        or Item("DIRECT-HIRE", True, "Direct hire", percent_of_salary=Decimal(20))
    }
    return Facts(
        {"REQ-1": replace(requirement, **changes)}, {COMPANY: Company(COMPANY, True)}, items
    )


def lines_of(worth: Worth) -> list[Line]:
    """The lines of a realized document."""
    assert isinstance(worth, Realized), worth
    said = {
        "document_kind": "timesheet",
        "document_id": "T-1",
        "realization_no": 1,
        "source_id": "T-1",
        "revision": 1,
        "cause": "test",
    }
    PayLinesRealized.model_validate_json(realization_body(said, "realized", worth))
    return worth.lines


def time_lines(
    entries: list[dict[str, Any]], facts: Facts, cited: Cited | None = None
) -> list[tuple[str, str, str]]:
    """Rate version, quantity and amount of each line of a timesheet."""
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
    """A line = round half up (quantity × rate) to the currency's minor unit: JPY 0, USD 2, KWD 3 (domain rules 7)."""
    assert time_lines([entry(hours)], facts_with(version(price), currency=currency)) == [
        (f"2020-01-01@{Decimal(price).normalize():f}", hours, amount)
    ]


def test_hours_are_summed_and_rounded_once() -> None:
    """Hours are summed over the line key and the amount is rounded once, never per entry (domain rules 2): 3 × 0.1 h × 0.05."""
    assert time_lines(
        [entry("0.1", f"2026-03-0{day}") for day in (2, 3, 4)], facts_with(version("0.05"))
    ) == [("2020-01-01@0.05", "0.3", "0.02")]


def test_a_rate_that_changes_on_a_wednesday_gives_two_lines() -> None:
    """One line per rate version; each keeps its service period (domain rules 2)."""
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
    """For one from-date the command's version wins over the ATS's; the greatest from-date not after the work date is in force (6)."""
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
    """Project, cost centre and PO are part of the key; the entry's own win over the requirement's (domain rules 2)."""
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


def test_days_and_pieces_stand_in_the_key() -> None:
    """Kinds of rates: per hour, day, unit (domain rules 6); the version's name says which unless it is hours."""
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
    """An adjustment uses the version that its invoiced lines cite (domain rules 6); a day that book does not reach has today's price."""
    rates = (version("50", "2026-03-03", books=(1, 2)), version("55", books=(2, None)))
    facts = facts_with(*rates, rate_book=2)
    assert time_lines(days(count=2), facts) == [("2020-01-01@55", "16", "880")]
    assert time_lines(days(count=2), facts, {("REQ-1", "REG"): 1}) == [
        ("2020-01-01@55", "8", "440"),
        ("2026-03-03@50", "8", "400"),
    ]


@pytest.mark.parametrize("first", [0, 1])
def test_a_line_names_the_version_that_priced_it(first: int) -> None:
    """An ATS's rate and, from book 3 on, a command's of the same date and price stand side by side: each line tells its own, whichever
    timesheet is priced first."""
    facts = facts_with(
        version("50", books=(1, None)),
        version("50", source="command", books=(3, None)),
        rate_book=3,
    )
    sheet = timesheet(entries=[entry("8")])
    asked: list[Cited] = [{("REQ-1", "REG"): 1}, {}]
    told = {}
    for at in (first, 1 - first):
        (line,) = lines_of(realize_timesheet(sheet, facts, asked[at]))
        told[at] = (
            line["derivation"]["rate"]["source"],
            line["derivation"]["rate"]["book"],
            line["derivation"]["rate"]["cited"],
        )
    assert told == {0: ("ats", "1", "yes"), 1: ("command", "3", "no")}


@given(
    st.lists(
        st.tuples(st.integers(1, 240000), st.integers(0, 6), st.sampled_from(["REG", "OT"])),
        min_size=1,
        max_size=20,
    )
)
def test_no_hour_is_lost(worked: list[tuple[int, int, str]]) -> None:
    """The hours of all lines are the hours of all entries, in whatever order they come."""
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


# -- placements


def fees(worth: Worth) -> list[tuple[str, str]]:
    """Amount and effective date of each line."""
    return [(line["amount"], line["effective_date"]) for line in lines_of(worth)]


def test_a_direct_hire_with_a_pay_plan() -> None:
    """20 % of 100,000.00, 50/50 Day 1/Day 90, start 2026-03-02: 10,000.00 on 2026-03-02 and on 2026-05-30 (domain rules 2)."""
    worth = realize_placement(placement(), facts_with())
    assert fees(worth) == [("10000", "2026-03-02"), ("10000", "2026-05-30")]
    first, second = lines_of(worth)
    assert first["line_key"] == '["p","F-1","DIRECT-HIRE",1]'
    assert second["description"] == "Direct hire · W-1 · instalment 2 of 2"
    assert second["derivation"]["formula"] == "100000.00 × 20 % = 20000.00, 50 % of it = 10000.00"


def test_parts_add_up_to_the_whole() -> None:
    """100.00 in three is 33.34, 33.33, 33.33 (domain rules 2)."""
    plan = tuple(
        Part(Decimal(share), day) for share, day in (("33.3333", 1), ("33.3333", 2), ("33.3334", 3))
    )
    item = Item("DIRECT-HIRE", True, "Setup", amount=Decimal("100.00"), currency="USD", plan=plan)
    three = realize_placement(
        placement(fees=[{"fee_id": "F-1", "item_id": "DIRECT-HIRE"}]), facts_with(item=item)
    )
    assert sorted(amount for amount, _ in fees(three)) == ["33.33", "33.33", "33.34"]


FEES: dict[str, tuple[dict[str, Any], Item, list[tuple[str, str]]]] = {
    "the item's amount at once": (
        {},
        Item("DIRECT-HIRE", True, amount=Decimal("99.50"), currency="EUR"),
        [("99.5", "EUR")],
    ),
    "the fee's amount wins": (
        {"amount": "5"},
        Item("DIRECT-HIRE", True, amount=Decimal(7), currency="EUR"),
        [("5", "USD")],
    ),
    "the fee's percent wins": (
        {"percent": "10"},
        Item("DIRECT-HIRE", True, percent_of_salary=Decimal(20)),
        [("10000", "USD")],
    ),
    "the item's percent": (
        {},
        Item("DIRECT-HIRE", True, percent_of_salary=Decimal("12.5")),
        [("12500", "USD")],
    ),
    "a fee of zero is no line": (
        {"amount": "0"},
        Item("DIRECT-HIRE", True, amount=Decimal(7), currency="EUR"),
        [],
    ),
    "a negative fee": (
        {"amount": "-5"},
        Item("DIRECT-HIRE", True, amount=Decimal(7), currency="EUR"),
        [("-5", "USD")],
    ),
}


@pytest.mark.parametrize("case", FEES)
def test_the_terms_of_a_fee_win_over_those_of_its_item(case: str) -> None:
    """A fixed amount in the price list's currency or a percent of the salary; the placement's own terms win (domain rules 2, 7)."""
    fee, item, expected = FEES[case]
    worth = realize_placement(
        placement(fees=[{"fee_id": "F-1", "item_id": "DIRECT-HIRE"} | fee]), facts_with(item=item)
    )
    assert [(line["amount"], line["currency"]) for line in lines_of(worth)] == expected


@pytest.mark.parametrize(
    ("code", "changes", "facts"),
    [
        ("no_salary", {"salary": None}, facts_with()),
        ("unknown_catalog_item", {}, facts_with(item=Item("DIRECT-HIRE"))),
        ("unknown_requirement", {"requirement_id": "REQ-9"}, facts_with()),
        ("unknown_billing_company", {}, facts_with(billing_company="other")),
        ("date_out_of_range", {"start_date": "2999-12-01"}, facts_with()),
        ("amount_too_large", {"salary": "99999999999"}, facts_with()),
    ],
)
def test_a_placement_that_lacks_a_fact_is_held(
    code: str, changes: dict[str, Any], facts: Facts
) -> None:
    """Held with a code and a message that says what to send (domain rules 2)."""
    held = realize_placement(placement(**changes), facts)
    assert isinstance(held, Held)
    assert held.code == code
    assert ":" in held.message or "send" in held.message


def test_a_placement_without_fees_needs_no_facts() -> None:
    """It is worth nothing, whoever the requirement is."""
    assert realize_placement(placement(fees=[], requirement_id="REQ-9"), facts_with()) == Realized(
        []
    )


# -- rate books


def said(*rates: tuple[str, str]) -> list[RateFrom]:
    """REG rates as the ATS sends them."""
    return [
        RateFrom(
            time_type="REG", effective_from=date.fromisoformat(since), bill_rate=Decimal(price)
        )
        for price, since in rates
    ]


def test_an_ats_statement_replaces_what_came_from_the_ats() -> None:
    """... and never a command's version; the book counts only changes; 50 is 50.00 (domain rules 6)."""
    own = version("60", "2026-02-01", source="command")
    standing = [version("50"), version("51", "2026-01-01"), own]
    turned = turn_book(standing, said(("50.00", "2020-01-01"), ("52", "2026-01-01")), 3)
    assert (turned.book, turned.ended) == (4, [standing[1]])
    assert turned.begun == [version("52", "2026-01-01", books=(4, None))]
    assert (
        turn_book([*standing[:2], own], said(("51.0", "2026-01-01"), ("50", "2020-01-01")), 3).book
        == 3
    )
    assert turn_book(standing, [], 3).ended == standing[:2]


# -- statements

ONE = [{"line_key": "k", "quantity": "1", "rate_book": 1, "derivation": {"a": "1"}}]
SAME = [{"line_key": "k", "quantity": "1", "rate_book": 2, "derivation": {"b": "2"}}]
OTHER = [{"line_key": "k", "quantity": "2", "rate_book": 1, "derivation": {"a": "1"}}]
HELD = Held("no_bill_rate", "no rate")
STEPS: dict[str, tuple[Standing, Worth, bool, Step]] = {
    "first": (Standing(), Realized(ONE), False, Step("realized", None, None)),
    "first, worth nothing": (Standing(), Realized([]), False, Step("realized", None, None)),
    "the same worth from another book": (
        Standing(1, "realized", ONE),
        Realized(SAME),
        False,
        Step(None, None, None),
    ),
    "the same worth, stale": (
        Standing(1, "realized", ONE),
        Realized(SAME),
        True,
        Step("realized", None, None),
    ),
    "another worth": (
        Standing(1, "realized", ONE),
        Realized(OTHER),
        False,
        Step("realized", None, None),
    ),
    "held at first": (Standing(), HELD, False, Step(None, HELD, "held")),
    "held again, the same": (
        Standing(0, "", (), HELD.code, HELD.message),
        HELD,
        False,
        Step(None, HELD, None),
    ),
    "held otherwise": (
        Standing(0, "", (), HELD.code, "other"),
        HELD,
        False,
        Step(None, HELD, "held"),
    ),
    "held after realized": (
        Standing(1, "realized", ONE),
        HELD,
        False,
        Step("withheld", HELD, "held"),
    ),
    "held after withheld": (
        Standing(2, "withheld", (), HELD.code, HELD.message),
        HELD,
        False,
        Step(None, HELD, None),
    ),
    "released": (
        Standing(0, "", (), HELD.code, HELD.message),
        Realized(ONE),
        False,
        Step("realized", None, "released"),
    ),
    "released after withheld": (
        Standing(2, "withheld", (), HELD.code, HELD.message),
        Realized(ONE),
        False,
        Step("realized", None, "released"),
    ),
    "worth nothing after withheld": (
        Standing(2, "withheld", (), HELD.code, HELD.message),
        Realized([]),
        False,
        Step("realized", None, "released"),
    ),
}


@pytest.mark.parametrize("case", STEPS)
def test_when_a_document_gets_a_new_statement(case: str) -> None:
    """A new one whenever its worth changes; a hold of what was realized is `withheld`; the same hold again says nothing (design 1)."""
    standing, worth, stale, expected = STEPS[case]
    assert step(standing, worth, stale=stale) == expected


def test_a_statement_over_the_limit_is_too_long() -> None:
    """No message is larger than 900 kB, counted in bytes (design 1)."""
    assert too_long("é" * 450_000) is None
    held = too_long("é" * 450_001)
    assert held is not None
    assert held.code == "statement_too_large"
