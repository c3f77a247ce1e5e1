"""Pricing of placements: fees at once or in instalments."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.fee_realizer.sources.rules.facts import (
    CatalogItem,
    Facts,
    GuaranteePart,
    Held,
    Instalment,
    PricingResult,
    Realized,
)
from services.fee_realizer.sources.rules.guarantees import given_back
from services.fee_realizer.sources.rules.placements import realize_placement
from tests.builders import placement
from tests.rules.test_fee_realizer_pricing import facts_with, lines_of


def fees(result: PricingResult) -> list[tuple[str, str]]:
    """Return amount and effective date of each line."""
    return [(line["amount"], line["effective_date"]) for line in lines_of(result)]


def test_a_direct_hire_with_a_pay_plan() -> None:
    """20 % of 100,000.00, 50/50 at day 1 and day 90 from 2026-03-02."""
    result = realize_placement(placement(), facts_with())
    assert fees(result) == [("10000", "2026-03-02"), ("10000", "2026-05-30")]
    first, second = lines_of(result)
    assert first["line_key"] == '["p","F-1","DIRECT-HIRE",1]'
    assert second["description"] == "Direct hire · W-1 · instalment 2 of 2"
    assert second["derivation"]["formula"] == "100000.00 × 20 % = 20000.00, 50 % of it = 10000.00"


def test_parts_add_up_to_the_whole() -> None:
    """100.00 in three is 33.34, 33.33, 33.33."""
    plan = tuple(
        Instalment(Decimal(share), day)
        for share, day in (("33.3333", 1), ("33.3333", 2), ("33.3334", 3))
    )
    item = CatalogItem(
        "DIRECT-HIRE", True, "Setup", amount=Decimal("100.00"), currency="USD", plan=plan
    )
    three = realize_placement(
        placement(fees=[{"fee_id": "F-1", "item_id": "DIRECT-HIRE"}]), facts_with(item=item)
    )
    assert sorted(amount for amount, _ in fees(three)) == ["33.33", "33.33", "33.34"]


FEES: dict[str, tuple[dict[str, Any], CatalogItem, list[tuple[str, str]]]] = {
    "the item's amount at once": (
        {},
        CatalogItem("DIRECT-HIRE", True, amount=Decimal("99.50"), currency="EUR"),
        [("99.5", "EUR")],
    ),
    "the fee's amount wins": (
        {"amount": "5"},
        CatalogItem("DIRECT-HIRE", True, amount=Decimal(7), currency="EUR"),
        [("5", "USD")],
    ),
    "the fee's percent wins": (
        {"percent": "10"},
        CatalogItem("DIRECT-HIRE", True, percent_of_salary=Decimal(20)),
        [("10000", "USD")],
    ),
    "the item's percent": (
        {},
        CatalogItem("DIRECT-HIRE", True, percent_of_salary=Decimal("12.5")),
        [("12500", "USD")],
    ),
    "a fee of zero is no line": (
        {"amount": "0"},
        CatalogItem("DIRECT-HIRE", True, amount=Decimal(7), currency="EUR"),
        [],
    ),
    "a negative fee": (
        {"amount": "-5"},
        CatalogItem("DIRECT-HIRE", True, amount=Decimal(7), currency="EUR"),
        [("-5", "USD")],
    ),
}


@pytest.mark.parametrize("case", FEES)
def test_the_terms_of_a_fee_win_over_those_of_its_item(case: str) -> None:
    """An amount or a percent of the salary; the placement's own terms win."""
    fee, item, expected = FEES[case]
    result = realize_placement(
        placement(fees=[{"fee_id": "F-1", "item_id": "DIRECT-HIRE"} | fee]), facts_with(item=item)
    )
    assert [(line["amount"], line["currency"]) for line in lines_of(result)] == expected


@pytest.mark.parametrize(
    ("code", "changes", "facts"),
    [
        ("no_salary", {"salary": None}, facts_with()),
        ("unknown_catalog_item", {}, facts_with(item=CatalogItem("DIRECT-HIRE"))),
        ("unknown_requirement", {"requirement_id": "REQ-9"}, facts_with()),
        ("unknown_billing_company", {}, facts_with(billing_company="other")),
        ("date_out_of_range", {"start_date": "2999-12-01"}, facts_with()),
        ("amount_too_large", {"salary": "99999999999"}, facts_with()),
    ],
)
def test_a_placement_that_lacks_a_fact_is_held(
    code: str, changes: dict[str, Any], facts: Facts
) -> None:
    """Held with a code and a message about what to send."""
    held = realize_placement(placement(**changes), facts)
    assert isinstance(held, Held)
    assert held.code == code
    assert ":" in held.message or "send" in held.message


def test_a_placement_without_fees_needs_no_facts() -> None:
    """It has no lines, even if its requirement is unknown."""
    assert realize_placement(placement(fees=[], requirement_id="REQ-9"), facts_with()) == Realized(
        []
    )


@pytest.mark.parametrize(("day", "due"), [(1, "2999-12-30"), (2, "2999-12-31"), (3, None)])
def test_an_instalment_falls_due_by_the_last_date(day: int, due: str | None) -> None:
    """Day 1 is the start; an instalment after 2999-12-31 holds the document."""
    item = CatalogItem("DIRECT-HIRE", True, amount=Decimal(10), currency="USD")
    fee = {"fee_id": "F-1", "item_id": "DIRECT-HIRE", "plan": [{"share": "100", "day": day}]}
    result = realize_placement(
        placement(fees=[fee], start_date="2999-12-30"), facts_with(item=item)
    )
    if due is None:
        assert isinstance(result, Held)
        assert result.code == "date_out_of_range"
    else:
        assert fees(result) == [("10", due)]


def test_shares_of_a_plan_are_weights() -> None:
    """1/1/1 is three equal parts (domain-rules.md 2): 100.00 is 33.34, 33.33, 33.33."""
    plan = [{"share": "1", "day": day} for day in (1, 31, 61)]
    item = CatalogItem("DIRECT-HIRE", True, amount=Decimal(100), currency="USD")
    fee = {"fee_id": "F-1", "item_id": "DIRECT-HIRE", "plan": plan}
    result = realize_placement(placement(fees=[fee]), facts_with(item=item))
    assert [amount for amount, _ in fees(result)] == ["33.34", "33.33", "33.33"]
    assert lines_of(result)[0]["derivation"]["formula"] == "100.00, 1/3 of it = 33.34"


@pytest.mark.parametrize(
    ("item", "changes", "fee", "expected"),
    [
        ({"percent_of": "ote"}, {"ote": "150000.00"}, {}, "30000"),
        ({"percent_of": "ote"}, {"ote": "150000.00"}, {"base": "1000"}, "200"),
        ({"percent_of": "base"}, {}, {"base": "40000.50"}, "8000.1"),
        ({"percent_of": "ote"}, {}, {}, "no_ote"),
        ({"percent_of": "base"}, {"ote": "5"}, {}, "no_base"),
        ({"product_kind": "non-placement"}, {}, {}, "product_kind"),
        ({"valid_from": date(2026, 3, 3)}, {}, {}, "catalog_item_not_valid"),
        ({"valid_until": date(2026, 3, 1)}, {}, {}, "catalog_item_not_valid"),
        ({"valid_from": date(2026, 3, 2), "valid_until": date(2026, 3, 2)}, {}, {}, "20000"),
    ],
)
def test_what_a_percent_is_taken_of_and_what_a_placement_may_name(
    item: dict[str, Any], changes: dict[str, Any], fee: dict[str, Any], expected: str
) -> None:
    """Salary, OTE or the fee's own base; a non-placement product or another year is held."""
    fact = CatalogItem("DIRECT-HIRE", True, "Fee", percent_of_salary=Decimal(20), **item)
    named = {"fee_id": "F-1", "item_id": "DIRECT-HIRE"} | fee
    result = realize_placement(placement(fees=[named], **changes), facts_with(item=fact))
    if isinstance(result, Held):
        assert result.code == expected
        assert "DIRECT-HIRE" in result.message or "F-1" in result.message
    else:
        assert [amount for amount, _ in fees(result)] == [expected]


GUARANTEE = tuple(
    GuaranteePart(day, Decimal(percent)) for day, percent in ((30, 100), (60, 75), (90, 50))
)


@pytest.mark.parametrize(
    ("day", "kept"),
    [
        (-5, ("0", "0")), (1, ("0", "0")), (30, ("0", "0")), (31, ("2000", "0")),
        (60, ("2000", "0")), (61, ("4000", "0")), (75, ("4000", "0")), (90, ("4000", "0")),
        (91, ("4000", "4000")), (None, ("4000", "4000")),
    ],
)  # fmt: skip
def test_a_leaver_gives_back_a_part_of_the_whole_fee(
    day: int | None, kept: tuple[str, str]
) -> None:
    """Edges of 30/60/90 at 100/75/50 %, fee 8,000.00 in two (domain-rules.md 2 and 12).

    Instalments shrink from the last one; who leaves before the start gives back everything.
    """
    start = date(2026, 3, 2)
    end = None if day is None else str(start + timedelta(days=day - 1))
    item = CatalogItem(
        "DIRECT-HIRE", True, amount=Decimal(8000), currency="USD", guarantee=GUARANTEE
    )
    plan = [{"share": "1", "day": 1}, {"share": "1", "day": 60}]
    fee = {"fee_id": "F-1", "item_id": "DIRECT-HIRE", "plan": plan}
    result = realize_placement(
        placement(fees=[fee], start_date=str(start), end_date=end), facts_with(item=item)
    )
    assert tuple(amount for amount, _ in fees(result)) == kept
    left = day is not None and day <= 90
    assert {line.get("credit_date") for line in lines_of(result)} == {end if left else None}
    if day == 75:
        assert lines_of(result)[1]["derivation"]["formula"] == (
            "8000.00, 1/2 of it = 4000.00; guarantee: left on day 75, 50 % of the fee (4000.00)"
            " is due back: 4000.00 − 4000.00 = 0.00"
        )


CENT = CatalogItem("DIRECT-HIRE", True, amount=Decimal("0.01"), currency="USD")
EURO = CatalogItem("DIRECT-HIRE", True, amount=Decimal(7), currency="EUR")
LIMIT = CatalogItem("DIRECT-HIRE", True, amount=Decimal(10) ** 10, currency="USD")
PLAN = [{"share": "1", "day": 1}, {"share": "99", "day": 2}]


@pytest.mark.parametrize(
    ("fee", "changes", "item", "expected"),
    [
        ({"amount": "5", "percent": "10"}, {}, None, ("5", "USD", "1", "5.00")),
        ({"amount": "-5"}, {}, None, ("-5", "USD", "-1", "-5.00")),
        ({"amount": "5"}, {"currency": None}, EURO, ("5", "EUR", "1", "5.00")),
        ({"amount": "5"}, {"currency": None}, None, ("5", "GBP", "1", "5.00")),
        (
            {"percent": "10"},
            {"currency": None},
            None,
            ("10000", "GBP", "1", "100000.00 × 10 % = 10000.00"),
        ),
        ({"percent": "10"}, {}, EURO, ("10000", "USD", "1", "100000.00 × 10 % = 10000.00")),
        ({"plan": PLAN}, {}, CENT, ("0.01", "USD", "1", "0.01, 99 % of it = 0.01")),
    ],
)
def test_the_currency_and_the_formula_of_a_fee(
    fee: dict[str, Any],
    changes: dict[str, Any],
    item: CatalogItem | None,
    expected: tuple[str, str, str, str],
) -> None:
    """The placement's currency, else that of the item's amount, else the requirement's (GBP)."""
    facts = facts_with(currency="GBP", item=item, po_number="PO-1")
    named = {"fee_id": "F-1", "item_id": "DIRECT-HIRE"} | fee
    (line,) = lines_of(realize_placement(placement(fees=[named], **changes), facts))
    formula = line["derivation"]["formula"]
    assert (line["amount"], line["currency"], line["quantity"], formula) == expected
    assert line["description"].endswith(" · instalment 2 of 2") is ("plan" in fee)
    assert line["po_number"] == "PO-1"


def test_each_fee_has_lines_of_its_own() -> None:
    """A fee in halves and a fee at once: three lines, in the order of their keys."""
    named = [{"fee_id": f"F-{number}", "item_id": "DIRECT-HIRE"} for number in (2, 1)]
    plan = [{"share": "50", "day": 1}, {"share": "50", "day": 90}]
    two = placement(fees=[named[0] | {"amount": "5"}, named[1] | {"amount": "8", "plan": plan}])
    lines = lines_of(realize_placement(two, facts_with()))
    assert [(line["line_key"][6:9], line["amount"]) for line in lines] == [
        ("F-1", "4"),
        ("F-1", "4"),
        ("F-2", "5"),
    ]


def test_a_fee_is_below_the_limit_of_a_price() -> None:
    """10,000,000,000.00 does not fit into a message."""
    fee = {"fee_id": "F-1", "item_id": "DIRECT-HIRE", "po_number": "PO-2"}
    held = realize_placement(placement(fees=[fee]), facts_with(item=LIMIT))
    assert isinstance(held, Held)
    assert held.code == "amount_too_large"
    most = replace(LIMIT, amount=Decimal("9999999999.99"))
    (line,) = lines_of(realize_placement(placement(fees=[fee]), facts_with(item=most)))
    assert (line["amount"], line["po_number"]) == ("9999999999.99", "PO-2")


@pytest.mark.parametrize(
    ("fee", "day", "expected"),
    [("0", 1, None), ("0.01", 1, "0.01"), ("100", 0, "100"), ("100", 1, "80"), ("100", 2, None)],
)
def test_what_a_guarantee_gives_back(fee: str, day: int, expected: str | None) -> None:
    """All of it before the start, else the percent of the table; nothing of no fee."""
    table = (GuaranteePart(1, Decimal(80)),)
    start = date(2026, 3, 2)
    back = given_back(table, start, start + timedelta(days=day - 1), Decimal(fee), "USD")
    assert (back and back.amount) == (None if expected is None else Decimal(expected))


def test_what_is_taken_of_an_instalment_is_in_its_derivation() -> None:
    """8,000.00 in two halves, left on day 45: 6,000.00 due back, 2,000.00 of it here."""
    item = CatalogItem("DIRECT-HIRE", True, amount=Decimal(8000), currency="USD", plan=(
        Instalment(Decimal(1), 1), Instalment(Decimal(1), 60),
    ), guarantee=GUARANTEE)  # fmt: skip
    fee = {"fee_id": "F-1", "item_id": "DIRECT-HIRE"}
    result = realize_placement(placement(fees=[fee], end_date="2026-04-15"), facts_with(item=item))
    first, second = (line["derivation"]["guarantee"] for line in lines_of(result))
    assert first == {"day": "45", "percent": "75", "given_back": "6000", "taken": "2000"}
    assert second["taken"] == "4000"


@pytest.mark.parametrize(("percent_of", "owner"), [("ote", "the placement"), ("base", "the fee")])
def test_a_missing_base_is_asked_of_its_owner(percent_of: str, owner: str) -> None:
    """OTE belongs to the placement, a stated base to the fee."""
    item = CatalogItem("DIRECT-HIRE", True, percent_of_salary=Decimal(20), percent_of=percent_of)
    named = {"fee_id": "F-1", "item_id": "DIRECT-HIRE"}
    held = realize_placement(placement(fees=[named]), facts_with(item=item))
    assert isinstance(held, Held)
    assert f", and {owner} has none" in held.message


def test_a_fee_in_one_part_has_no_number_of_an_instalment() -> None:
    """Its name and the worker's id are enough."""
    item = CatalogItem("DIRECT-HIRE", True, "Hire", amount=Decimal(5), currency="USD")
    named = {"fee_id": "F-1", "item_id": "DIRECT-HIRE"}
    (line,) = lines_of(realize_placement(placement(fees=[named]), facts_with(item=item)))
    assert line["description"] == "Hire · W-1"
