"""Pricing of charges: quantity × price, expenses with recoverable tax and markup."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.fee_realizer.sources.rules.charges import realize_charge
from services.fee_realizer.sources.rules.facts import (
    BillingCompany,
    CatalogItem,
    Facts,
    Held,
    Realized,
)
from shared.events.realizations import RealizationLine
from tests.builders import COMPANY, charge
from tests.rules.test_fee_realizer_pricing import lines_of

TRAVEL = CatalogItem("TRAVEL", True, "Travel", product_kind="non-placement")


def facts(item: CatalogItem = TRAVEL, company: BillingCompany | None = None) -> Facts:
    """Return a catalog with one item, and a known billing company."""
    return Facts({}, {COMPANY: company or BillingCompany(COMPANY, True)}, {"TRAVEL": item})


def test_an_expense_is_billed_net_of_recoverable_tax_with_markup() -> None:
    """101.24 with 20 % recoverable tax is 84.37, with 10 % markup 92.81 (domain-rules.md 12)."""
    (line,) = lines_of(realize_charge(charge(), facts()))
    assert (line["amount"], line["quantity"], line["unit_price"]) == ("92.81", "1", "92.81")
    assert line["description"] == "Travel · receipt R-77"
    assert line["derivation"]["formula"] == (
        "1 × 101.24 = 101.24; without 20 % recoverable tax 84.37; with 10 % markup 92.81"
    )
    assert line["effective_date"] == date(2026, 3, 4).isoformat()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"quantity": "3", "price": "12.345"}, ("37.04", "3", "12.345")),
        ({"quantity": "2.5", "price": "10", "markup": "5"}, ("26.25", "1", "26.25")),
        ({"quantity": "3", "price": "1000", "currency": "JPY"}, ("3000", "3", "1000")),
        ({"quantity": "2", "price": None, "currency": None}, ("17", "2", "8.5")),
        ({"quantity": "0"}, None),
        ({"cancelled": True, "item_id": "OTHER"}, None),
    ],
)
def test_a_charge_is_quantity_times_price(
    changes: dict[str, Any], expected: tuple[str, str, str] | None
) -> None:
    """The catalog's price holds where the charge has none; what is cancelled is worth nothing."""
    plain = {"recoverable_tax": None, "markup": None, "receipt": ""}
    item = CatalogItem(
        "TRAVEL", True, "Travel", Decimal("8.50"), "USD", product_kind="non-placement"
    )
    lines = lines_of(realize_charge(charge(**plain | changes), facts(item)))
    found = [(line["amount"], line["quantity"], line["unit_price"]) for line in lines]
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("-17", "-2", "8.5")),
        ({"markup": "5"}, ("-17.85", "-1", "17.85")),
        ({"quantity": "0.0001"}, ("0", "-0.0001", "8.5")),
    ],
)
def test_a_discount_has_a_quantity_below_zero(
    changes: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    """A catalog item with a negative amount: the price of a message is never below zero."""
    item = CatalogItem(
        "TRAVEL", True, "Travel", Decimal("-8.50"), "USD", product_kind="non-placement"
    )
    plain = {"recoverable_tax": None, "markup": None, "price": None, "currency": None}
    (line,) = lines_of(realize_charge(charge(**plain | {"quantity": "2"} | changes), facts(item)))
    assert (line["amount"], line["quantity"], line["unit_price"]) == expected
    RealizationLine.model_validate_json(json.dumps(line))


@pytest.mark.parametrize(
    ("code", "changes", "known"),
    [
        ("unknown_catalog_item", {"item_id": "OTHER"}, facts()),
        ("unknown_catalog_item", {}, facts(CatalogItem("TRAVEL"))),
        ("product_kind", {}, facts(CatalogItem("TRAVEL", True))),
        ("no_price", {"price": None, "currency": None}, facts()),
        ("unknown_billing_company", {}, facts(company=BillingCompany(COMPANY))),
        ("billing_company_disabled", {}, facts(company=BillingCompany(COMPANY, True, False))),
        ("amount_too_large", {"quantity": "99999999", "price": "200"}, facts()),
    ],
)
def test_a_charge_that_lacks_a_fact_is_held(
    code: str, changes: dict[str, Any], known: Facts
) -> None:
    """Held with a code and a message about what to send."""
    held = realize_charge(charge(**changes), known)
    assert isinstance(held, Held)
    assert held.code == code
    assert ":" in held.message


def test_a_charge_without_value_is_realized_without_lines() -> None:
    """Its earlier lines are then withdrawn or credited."""
    assert realize_charge(charge(cancelled=True), Facts()) == Realized([])


def test_a_charge_without_receipt_has_the_text_or_the_name_alone() -> None:
    """The line key names the item; the derivation names a receipt only where there is one."""
    (named,) = lines_of(realize_charge(charge(receipt=""), facts()))
    (worded,) = lines_of(realize_charge(charge(receipt="", text="Taxi"), facts()))
    (kept,) = lines_of(realize_charge(charge(), facts()))
    assert (named["description"], worded["description"]) == ("Travel", "Taxi")
    assert named["line_key"] == '["p","charge","TRAVEL",1]'
    assert "receipt" not in named["derivation"]
    assert kept["derivation"]["receipt"] == "R-77"


def test_a_charge_is_below_the_limit_of_a_price() -> None:
    """10,000,000,000.00 does not fit into a message; a cent less does."""
    plain = {"recoverable_tax": None, "markup": None, "quantity": "10"}
    held = realize_charge(charge(**plain, price="1000000000"), facts())
    assert isinstance(held, Held)
    assert held.code == "amount_too_large"
    (line,) = lines_of(realize_charge(charge(**plain, price="999999999.999"), facts()))
    assert line["amount"] == "9999999999.99"


def test_a_quantity_without_a_price_is_a_line_of_zero() -> None:
    """It is kept, so that a later price is a correction of it."""
    (line,) = lines_of(realize_charge(charge(price="0", recoverable_tax=None), facts()))
    assert (line["amount"], line["quantity"]) == ("0", "1")
