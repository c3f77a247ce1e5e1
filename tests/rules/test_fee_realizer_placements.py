"""Pricing of placements: fees at once or in instalments."""

from decimal import Decimal
from typing import Any

import pytest

from services.fee_realizer.sources.rules.facts import (
    CatalogItem,
    Facts,
    Held,
    Instalment,
    PricingResult,
    Realized,
)
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
