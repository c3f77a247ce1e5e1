"""Price a placement: each fee is an amount or a percent of the salary, at once or in instalments.

20 % of 100,000.00 in 50/50 at day 1 and day 90 is two lines of 10,000.00. Instalments always sum to
the whole; day 1 is the start.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from services.fee_realizer.requirements.rules import Requirement
from services.fee_realizer.sources.rules.facts import (
    CatalogItem,
    Facts,
    Held,
    Instalment,
    Line,
    PricingResult,
    Realized,
    compact_json,
    format_price,
)
from services.fee_realizer.sources.rules.holds import missing_fact
from shared.events.ats import PlacementCreated, PlacementFee
from shared.events.field_types import LAST_DATE
from shared.money import ZERO, minor_unit, plain, rounded, split

PIECE = "C62"
# Limit of a unit price in messages; a fee is the price of one piece.
PRICE_LIMIT = Decimal(10) ** 10
AT_ONCE = (Instalment(Decimal(100), 1),)


# A whole fee: amount, currency, the base and the percent of it (empty: the base is the amount).
FeeAmount = tuple[Decimal, str, str, str]


def realize_placement(placement: PlacementCreated, facts: Facts) -> PricingResult:
    """Return the lines of a placement's fees, or what it waits for. No fees give no lines."""
    if not placement.fees:
        return Realized([])
    held = missing_fact([placement.requirement_id], facts)
    if held is not None:
        return held
    requirement = facts.requirement(placement.requirement_id)
    lines: list[Line] = []
    for fee in placement.fees:
        item = facts.items.get(fee.item_id)
        if item is None or not item.known:
            return Held(
                "unknown_catalog_item",
                f"catalog item {fee.item_id} of fee {fee.fee_id} is not known:"
                " set it with set-catalog-item",
            )
        whole = _fee_amount(placement, fee, item, requirement)
        parts = (
            whole if isinstance(whole, Held) else _lines(placement, fee, item, requirement, whole)
        )
        if isinstance(parts, Held):
            return parts
        lines += parts
    lines.sort(key=lambda line: str(line["line_key"]))
    return Realized(lines)


def _fee_amount(
    placement: PlacementCreated, fee: PlacementFee, item: CatalogItem, requirement: Requirement
) -> FeeAmount | Held:
    """Return the whole fee. The placement's own terms win over those of the catalog item."""
    percent = None if fee.amount is not None else fee.percent
    if percent is None and fee.amount is None and item.amount is None:
        percent = item.percent_of_salary
    if percent is not None:
        currency = placement.currency or requirement.currency
    elif fee.amount is not None:
        currency = placement.currency or item.currency or requirement.currency
    else:
        currency = item.currency or ""
    if not currency:
        return Held(
            "no_currency",
            f"fee {fee.fee_id} of catalog item {fee.item_id} has no currency:"
            " send the placement with one",
        )
    if percent is None:
        price = fee.amount if fee.amount is not None else item.amount
        amount = rounded(price or ZERO, currency)
        return amount, currency, format_price(amount, currency), ""
    if placement.salary is None:
        return Held(
            "no_salary",
            f"fee {fee.fee_id} is {plain(percent)} % of the salary, and the placement has none:"
            " send its next revision with salary",
        )
    amount = rounded((placement.salary * percent).scaleb(-2), currency)
    return amount, currency, format_price(placement.salary, currency), plain(percent)


def _lines(
    placement: PlacementCreated,
    fee: PlacementFee,
    item: CatalogItem,
    requirement: Requirement,
    whole: FeeAmount,
) -> list[Line] | Held:
    """Return a line for each instalment of a fee that is not zero."""
    amount, currency, base, percent = whole
    if abs(amount) >= PRICE_LIMIT:
        return Held(
            "amount_too_large",
            f"fee {fee.fee_id} would be {PRICE_LIMIT:,} {currency} or more:"
            " send the right amount, percent or salary",
        )
    plan: Sequence[Instalment] = AT_ONCE if item.plan is None else item.plan
    if fee.plan is not None:
        plan = [Instalment(part.share, part.day) for part in fee.plan]
    shares = split(amount, [part.share for part in plan], minor_unit(currency))
    whole_formula = f"{base} × {percent} % = {format_price(amount, currency)}" if percent else base
    lines = []
    for number, (part, share) in enumerate(zip(plan, shares, strict=True), 1):
        if part.day - 1 > (LAST_DATE - placement.start_date).days:
            return Held(
                "date_out_of_range",
                f"instalment {number} of fee {fee.fee_id} would be due after {LAST_DATE}:"
                " send the right start date or plan",
            )
        if not share:
            continue
        name, formula = f"{item.name or item.item_id} · {placement.worker_id}", whole_formula
        if len(plan) > 1:
            name += f" · instalment {number} of {len(plan)}"
            formula += f", {plain(part.share)} % of it = {format_price(share, currency)}"
        derivation = {
            "item": item.item_id,
            "base": base,
            "percent": percent,
            "part": {"share": plain(part.share), "day": str(part.day)},
            "revision": str(placement.revision),
            "formula": formula,
        }
        due = (placement.start_date + timedelta(days=part.day - 1)).isoformat()
        lines.append(
            {
                "line_key": compact_json(["p", fee.fee_id, fee.item_id, number]),
                "line_kind": "product",
                "billing_company": requirement.billing_company,
                "billto_node": requirement.office_id,
                "currency": currency,
                "quantity": "1" if share > 0 else "-1",
                "unit": PIECE,
                "unit_price": plain(abs(share)),
                "amount": plain(share),
                "effective_date": due,
                "service_from": due,
                "service_to": due,
                "requirement_id": placement.requirement_id,
                "worker_id": placement.worker_id,
                "item_id": fee.item_id,
                "project": requirement.project,
                "cost_center": requirement.cost_center,
                "po_number": fee.po_number or requirement.po_number,
                "tax_code": item.tax_code,
                "description": name,
                "derivation": derivation,
            }
        )
    return lines
