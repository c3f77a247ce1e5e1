"""A retainer: billed when its requirement is approved, then taken off the fees of its placements.

The retainer is a document of its own (kind `retainer`, the id of the requirement). Placements take
it off in the order of their start dates, each from its earliest instalment on, before tax; what no
fee takes is its excess, which an operator credits or keeps. A guarantee gives the retainer back
last, and only if it is refundable. See docs/billing.md, Retainers.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from services.fee_realizer.requirements.rules import Requirement
from services.fee_realizer.sources.rules.facts import (
    CatalogItem,
    Facts,
    Held,
    PricingResult,
    Realized,
    RetainerState,
    RetainerUse,
    RetainerValue,
    compact_json,
    format_price,
)
from services.fee_realizer.sources.rules.holds import missing_fact, unknown_item
from services.fee_realizer.sources.rules.placements import (
    PIECE,
    PLACEMENT_PRODUCT,
    PRICE_LIMIT,
    fee_amounts,
    not_valid,
)
from shared.events.ats import PlacementCreated, Retainer
from shared.money import ZERO, plain, rounded

APPROVING = frozenset({"approved", "filled"})
"""Statuses of a requirement that say that it was approved."""


def value_retainers(facts: Facts) -> None:
    """Set the value of each retainer among the facts, or what it waits for."""
    for requirement_id, state in facts.retainers.items():
        requirement = facts.requirement(requirement_id)
        if requirement.retainer is not None:
            state.value = retainer_value(requirement, requirement.retainer, facts)


def retainer_value(
    requirement: Requirement, retainer: Retainer, facts: Facts
) -> RetainerValue | Held:
    """Return the amount of a retainer: its own, or that of its catalog item."""
    named = f"the retainer of requirement {requirement.requirement_id}"
    item = facts.items.get(retainer.item_id)
    if item is None or not item.known:
        return unknown_item(retainer.item_id, named)
    if item.product_kind != PLACEMENT_PRODUCT:
        return Held(
            "product_kind",
            f"catalog item {item.item_id} of {named} is a non-placement product: send the"
            " requirement's next revision with a placement product",
        )
    amount, currency = retainer.amount, requirement.currency
    if amount is None:
        amount, currency = item.amount, item.currency or ""
    if amount is None or not currency:
        return Held(
            "no_price",
            f"{named} has no amount, and neither has catalog item {item.item_id}:"
            " send the requirement's next revision with one",
        )
    if not 0 <= amount < PRICE_LIMIT:
        return Held(
            "amount_too_large",
            f"{named} would be {plain(amount)} {currency}:"
            f" send an amount from 0 to less than {PRICE_LIMIT:,}",
        )
    return RetainerValue(rounded(amount, currency), currency)


def approved_on(requirement: Requirement) -> date | None:
    """Return the day on which a retainer is earned: the one given, or that of the first status."""
    if requirement.retainer is not None and requirement.retainer.approved_on is not None:
        return requirement.retainer.approved_on
    approving = (
        one.from_date for one in requirement.statuses if one.status.strip().casefold() in APPROVING
    )
    return next(approving, None)


def claim_retainer(placement: PlacementCreated, facts: Facts) -> None:
    """Set or remove what a placement may take off a retainer: its fees in the same currency.

    A held placement keeps what it took before.
    """
    placement_id = placement.placement_id
    for requirement_id, state in facts.retainers.items():
        if requirement_id != placement.requirement_id:
            state.uses.pop(placement_id, None)
            continue
        if not isinstance(state.value, RetainerValue):
            continue
        fees = fee_amounts(placement, facts)
        if isinstance(fees, Held):
            continue
        of_currency = (fee for fee in fees if fee.currency == state.value.currency)
        amount = sum((fee.amount for fee in of_currency if fee.amount > 0), ZERO)
        known = state.uses.get(placement_id, RetainerUse(placement.start_date, ZERO))
        if amount:
            claim = known._replace(start_date=placement.start_date, fee=amount)
            state.uses[placement_id] = claim
        else:
            state.uses.pop(placement_id, None)


def realize_retainer(requirement_id: str, facts: Facts) -> PricingResult:
    """Return the line of a retainer, or what it waits for. Without a retainer there is none."""
    requirement = facts.requirement(requirement_id)
    retainer = requirement.retainer
    if retainer is None:
        return Realized([])
    held = missing_fact([requirement_id], facts)
    if held is not None:
        return held
    state = facts.retainers[requirement_id]
    if not isinstance(state.value, RetainerValue):
        return state.value or Realized([])
    day = approved_on(requirement)
    if day is None:
        return Held(
            "requirement_not_approved",
            f"requirement {requirement_id} has a retainer and was not approved: send"
            " requirement-changed with status Approved or Filled, or with approved_on",
        )
    item = facts.items[retainer.item_id]
    fix = "send the retainer with another item"
    refused = not_valid(item, day, "the retainer is earned", fix)
    if refused is not None:
        return refused
    refunds = [use for use in state.uses.values() if use.refund and retainer.refundable]
    credited = min(state.credited, state.excess)
    refund = sum((use.refund for use in refunds), ZERO)
    kept = state.value.amount - credited - refund
    line: dict[str, Any] = {
        "line_key": compact_json(["p", "retainer", retainer.item_id, 1]),
        "line_kind": "product",
        "billing_company": requirement.billing_company,
        "billto_node": requirement.office_id,
        "currency": state.value.currency,
        "quantity": str(int(kept.compare(ZERO))),
        "unit": PIECE,
        "unit_price": plain(kept),
        "amount": plain(kept),
        "effective_date": day.isoformat(),
        "service_from": day.isoformat(),
        "service_to": day.isoformat(),
        "requirement_id": requirement_id,
        "item_id": retainer.item_id,
        "project": requirement.project,
        "cost_center": requirement.cost_center,
        "po_number": retainer.po_number or requirement.po_number,
        "tax_code": item.tax_code,
        "description": f"{item.name or item.item_id} · {requirement.job_title or requirement_id}",
        "derivation": _derivation(item, state, credited, refunds),
    }
    last_days = [use.last_day for use in refunds if use.last_day is not None]
    if last_days:
        line["credit_date"] = max(last_days).isoformat()
    return Realized([line])


def _derivation(
    item: CatalogItem, state: RetainerState, credited: Decimal, refunds: Sequence[RetainerUse]
) -> dict[str, Any]:
    """Return how the value of a retainer comes about: its amount, less what is given back."""
    assert isinstance(state.value, RetainerValue)
    amount, currency = state.value
    derivation: dict[str, Any] = {"item": item.item_id, "amount": plain(amount)}
    formula = format_price(amount, currency)
    refund = sum((use.refund for use in refunds), ZERO)
    for name, part, why in (
        ("excess_credited", credited, "more than the fees, credited by an operator"),
        ("refunded", refund, "given back by the guarantee"),
    ):
        if part:
            derivation[name] = plain(part)
            formula += f" − {format_price(part, currency)} ({why})"
    if credited or refund:
        formula += f" = {format_price(amount - credited - refund, currency)}"
    return derivation | {"formula": formula}
