"""Price a charge: quantity × price of a catalog item, or an expense with tax taken off and markup.

A receipt of 101.24 with 20 % recoverable tax and 10 % markup is worth 92.81: 101.24 / 1.20 is
84.37, × 1.10 is 92.81. Each step is rounded to the currency's minor unit.
"""

from decimal import Decimal
from typing import Any

from services.fee_realizer.sources.rules.facts import (
    CatalogItem,
    Facts,
    Held,
    PricingResult,
    Realized,
    compact_json,
    format_price,
)
from services.fee_realizer.sources.rules.holds import missing_company, unknown_item
from services.fee_realizer.sources.rules.placements import PIECE, PLACEMENT_PRODUCT, PRICE_LIMIT
from shared.events.ats import ChargeAdded
from shared.money import ZERO, plain, rounded

ONE = Decimal(1)


def realize_charge(charge: ChargeAdded, facts: Facts) -> PricingResult:
    """Return the line of a charge, or what it waits for.

    A charge that is cancelled or has no quantity has no line.
    """
    if charge.cancelled:
        return Realized([])
    held = missing_company(charge.billing_company, "charge", charge.charge_id, facts)
    if held is not None:
        return held
    item = facts.items.get(charge.item_id)
    if item is None or not item.known:
        return unknown_item(charge.item_id, f"charge {charge.charge_id}")
    held = _not_for_charge(charge, item)
    if held is not None:
        return held
    price, currency = charge.price, charge.currency
    if price is None or currency is None:
        price, currency = item.amount or ZERO, item.currency or ""
    cost = rounded(charge.quantity * price, currency)
    amount, derivation = _value(charge, price, cost, currency)
    if abs(amount) >= PRICE_LIMIT:
        return Held(
            "amount_too_large",
            f"charge {charge.charge_id} would be {PRICE_LIMIT:,} {currency} or more:"
            " send the right quantity and price",
        )
    if not charge.quantity:
        return Realized([])
    quantity, unit_price = (charge.quantity, price) if amount == cost else (ONE, amount)
    if price < 0:  # a discount: the price of a line is never below zero (EN 16931, BR-27)
        quantity, unit_price = -quantity, abs(unit_price)
    day = charge.service_date.isoformat()
    name = charge.text or item.name or item.item_id
    line: dict[str, Any] = {
        "line_key": compact_json(["p", "charge", charge.item_id, 1]),
        "line_kind": "product",
        "billing_company": charge.billing_company,
        "billto_node": charge.node_id,
        "currency": currency,
        "quantity": plain(quantity),
        "unit": PIECE,
        "unit_price": plain(unit_price),
        "amount": plain(amount),
        "effective_date": day,
        "service_from": day,
        "service_to": day,
        "item_id": charge.item_id,
        "project": charge.project,
        "cost_center": charge.cost_center,
        "po_number": charge.po_number,
        "tax_code": item.tax_code,
        "description": f"{name} · receipt {charge.receipt}" if charge.receipt else name,
        "derivation": derivation | {"item": item.item_id, "revision": str(charge.revision)},
    }
    return Realized([line])


def _not_for_charge(charge: ChargeAdded, item: CatalogItem) -> Held | None:
    """Hold if the catalog item is not sold by charges, or the price is missing."""
    if item.product_kind == PLACEMENT_PRODUCT:
        return Held(
            "product_kind",
            f"catalog item {item.item_id} is a placement product: it can be a fee of a placement;"
            " send the charge with a non-placement product",
        )
    if charge.price is None and item.amount is None:
        return Held(
            "no_price",
            f"charge {charge.charge_id} has no price, and neither has catalog item"
            f" {item.item_id}: send its next revision with price and currency",
        )
    return None


def _value(
    charge: ChargeAdded, price: Decimal, cost: Decimal, currency: str
) -> tuple[Decimal, dict[str, Any]]:
    """Return the amount of a charge and how it comes about."""
    formula = (
        f"{plain(charge.quantity)} × {format_price(price, currency)} ="
        f" {format_price(cost, currency)}"
    )
    derivation: dict[str, Any] = {"quantity": plain(charge.quantity), "price": plain(price)}
    amount = cost
    if charge.recoverable_tax:
        amount = rounded(cost * 100 / (100 + charge.recoverable_tax), currency)
        percent = plain(charge.recoverable_tax)
        derivation["recoverable_tax"] = percent
        formula += f"; without {percent} % recoverable tax {format_price(amount, currency)}"
    if charge.markup:
        amount = rounded(amount * (100 + charge.markup) / 100, currency)
        percent = plain(charge.markup)
        derivation["markup"] = percent
        formula += f"; with {percent} % markup {format_price(amount, currency)}"
    if charge.receipt:
        derivation["receipt"] = charge.receipt
    return amount, derivation | {"formula": formula}
