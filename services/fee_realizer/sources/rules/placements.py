"""Price a placement: each fee is an amount, or a percent of a base, at once or in instalments.

20 % of 100,000.00 in 50/50 at day 1 and day 90 is two lines of 10,000.00. Instalments always sum to
the whole; day 1 is the start. A retainer of the requirement is taken off the earliest instalments.
A fee with a guarantee shrinks when the worker leaves early.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from services.fee_realizer.requirements.rules import Requirement
from services.fee_realizer.sources.rules.engaged import engagement_of_placement
from services.fee_realizer.sources.rules.facts import (
    CatalogItem,
    Facts,
    Held,
    Instalment,
    Line,
    PricingResult,
    Realized,
    RetainerState,
    RetainerUse,
    RetainerValue,
    compact_json,
    format_price,
)
from services.fee_realizer.sources.rules.guarantees import GivenBack, given_back, kept_of
from services.fee_realizer.sources.rules.holds import missing_fact, unknown_item
from shared.events.ats import PlacementCreated, PlacementFee, PlanPart
from shared.events.field_types import LAST_DATE
from shared.money import ZERO, minor_unit, plain, rounded, split

PIECE = "C62"
PLACEMENT_PRODUCT = "placement"
# Limit of a unit price in messages; a fee is the price of one piece.
PRICE_LIMIT = Decimal(10) ** 10
AT_ONCE = (Instalment(Decimal(100), 1),)


class FeeAmount(NamedTuple):
    """A whole fee: amount, currency, the base and the percent of it (empty: the base itself)."""

    amount: Decimal
    currency: str
    base: str
    percent: str


def realize_placement(placement: PlacementCreated, facts: Facts) -> PricingResult:
    """Return the lines of a placement's fees, or what it waits for. No fees give no lines."""
    fees = _priced_fees(placement, facts)
    if isinstance(fees, Held):
        return fees
    engaged = engagement_of_placement(placement, facts) if fees else None
    if isinstance(engaged, Held):
        return engaged
    state = facts.retainers.get(placement.requirement_id) if fees else None
    if state is not None and isinstance(state.value, Held):
        return state.value
    set_offs, use = _set_offs(placement, fees, state)
    lines: list[Line] = []
    requirement = facts.requirement(placement.requirement_id)
    for fee, taken in zip(fees, set_offs, strict=True):
        parts = _lines(placement, fee, requirement, taken)
        if isinstance(parts, Held):
            return parts
        lines += parts.lines
        if use is not None and parts.refund:
            use = use._replace(refund=use.refund + parts.refund, last_day=placement.end_date)
    if engaged is not None:
        for line in lines:
            line["engagement"] = engaged.line_fields(date.fromisoformat(line["service_to"]))
    lines.sort(key=lambda line: str(line["line_key"]))
    return Realized(lines, retainer_use=use)


class _PricedFee(NamedTuple):
    """A fee of a placement: its catalog item, its whole amount, its plan and the shares of it."""

    fee: PlacementFee
    item: CatalogItem
    whole: FeeAmount
    plan: Sequence[Instalment]
    shares: Sequence[Decimal]


def _priced_fees(placement: PlacementCreated, facts: Facts) -> list[_PricedFee] | Held:
    """Return the fees of a placement with their amounts, or what it waits for."""
    if not placement.fees:
        return []
    held = missing_fact([placement.requirement_id], facts)
    if held is not None:
        return held
    requirement = facts.requirement(placement.requirement_id)
    fees = []
    for fee in placement.fees:
        item = facts.items.get(fee.item_id)
        if item is None or not item.known:
            return unknown_item(fee.item_id, f"fee {fee.fee_id}")
        refused = _not_for_placement(placement, item)
        if refused is not None:
            return refused
        whole = _fee_amount(placement, fee, item, requirement)
        if isinstance(whole, Held):
            return whole
        plan = plan_of(fee.plan, item)
        shares = split(whole.amount, [part.share for part in plan], minor_unit(whole.currency))
        fees.append(_PricedFee(fee, item, whole, plan, shares))
    return fees


def plan_of(own: Sequence[PlanPart] | None, item: CatalogItem) -> Sequence[Instalment]:
    """Return the plan of a fee or an assignment: its own, that of its item, or all at once."""
    if own is not None:
        return [Instalment(part.share, part.day) for part in own]
    return AT_ONCE if item.plan is None else item.plan


def fee_amounts(placement: PlacementCreated, facts: Facts) -> list[FeeAmount] | Held:
    """Return the whole fees of a placement, or what it waits for."""
    fees = _priced_fees(placement, facts)
    return fees if isinstance(fees, Held) else [fee.whole for fee in fees]


def _set_offs(
    placement: PlacementCreated, fees: Sequence[_PricedFee], state: RetainerState | None
) -> tuple[list[list[Decimal]], RetainerUse | None]:
    """Return what a retainer takes off each instalment of each fee, the earliest day first.

    Of instalments of one day the first fee's is first; nothing is taken off a negative fee, or off
    one in another currency.
    """
    taken = [[ZERO] * len(fee.shares) for fee in fees]
    use = state.uses.get(placement.placement_id) if state is not None else None
    if state is None or use is None or not isinstance(state.value, RetainerValue):
        return taken, None
    available = whole = state.shares[placement.placement_id]
    earliest = sorted(
        (part.day, at, number)
        for at, fee in enumerate(fees)
        for number, part in enumerate(fee.plan)
        if fee.whole.currency == state.value.currency and fee.whole.amount > 0
    )
    for _, at, number in earliest:
        taken[at][number] = min(fees[at].shares[number], available)
        available -= taken[at][number]
    return taken, use._replace(set_off=whole, refund=ZERO, last_day=None)


def _not_for_placement(placement: PlacementCreated, item: CatalogItem) -> Held | None:
    """Hold if a catalog item is not sold with placements, or not on the placement's start date."""
    if item.product_kind != PLACEMENT_PRODUCT:
        return Held(
            "product_kind",
            f"catalog item {item.item_id} is a non-placement product: it can be assigned to a"
            " company, client or office; send the placement with a placement product",
        )
    start = placement.start_date
    fix = "send the placement with another item"
    return not_valid(item, start, "the placement starts", fix)


def not_valid(item: CatalogItem, day: date, event: str, fix: str) -> Held | None:
    """Hold if a catalog item is not sold on a day.

    `event`: what is on that day ("the placement starts"); `fix`: what to do but change the item.
    """
    first, last = item.valid_from, item.valid_until
    if (first is not None and day < first) or (last is not None and day > last):
        period = " ".join([f"from {first}"] * bool(first) + [f"until {last}"] * bool(last))
        return Held(
            "catalog_item_not_valid",
            f"catalog item {item.item_id} is valid {period}, and {event} on {day}:"
            f" change the item's dates with set-catalog-item, or {fix}",
        )
    return None


def _base(placement: PlacementCreated, fee: PlacementFee, item: CatalogItem) -> Decimal | None:
    """Return what a percent is taken of: the fee's base, or the placement's OTE or salary."""
    if fee.base is not None:
        return fee.base
    return {"salary": placement.salary, "ote": placement.ote}.get(item.percent_of)


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
        return FeeAmount(amount, currency, format_price(amount, currency), "")
    base = _base(placement, fee, item)
    if base is None:
        named = item.percent_of
        owner = "the fee" if named == "base" else "the placement"
        return Held(
            f"no_{named}",
            f"fee {fee.fee_id} is {plain(percent)} % of the {named}, and {owner} has none:"
            f" send the placement's next revision with {named}",
        )
    amount = rounded((base * percent).scaleb(-2), currency)
    return FeeAmount(amount, currency, format_price(base, currency), plain(percent))


class _Part(NamedTuple):
    """An instalment of a fee: number, plan and share of the fee.

    `set_off`: what a retainer takes off it; `kept`: what is kept of the rest.
    """

    number: int
    plan: Instalment
    share: Decimal
    set_off: Decimal
    kept: Decimal


class _FeeLines(NamedTuple):
    """The lines of a fee, and what a guarantee gives back beyond them, of the retainer."""

    lines: list[Line]
    refund: Decimal


def _lines(
    placement: PlacementCreated,
    fee: _PricedFee,
    requirement: Requirement,
    set_offs: Sequence[Decimal],
) -> _FeeLines | Held:
    """Return a line for each instalment of a fee that is not zero.

    An instalment that a retainer or a guarantee takes whole stays as a line of zero, for the date
    of its credit.
    """
    whole, plan, shares = fee.whole, fee.plan, fee.shares
    if abs(whole.amount) >= PRICE_LIMIT:
        return Held(
            "amount_too_large",
            f"fee {fee.fee.fee_id} would be {PRICE_LIMIT:,} {whole.currency} or more:"
            " send the right amount, percent or salary",
        )
    start, end = placement.start_date, placement.end_date
    back = given_back(fee.item.guarantee, start, end, whole.amount, whole.currency)
    due = [share - taken for share, taken in zip(shares, set_offs, strict=True)]
    kept = due if back is None else kept_of(due, back.amount)
    lines = []
    for part in map(_Part, range(1, len(plan) + 1), plan, shares, set_offs, kept):
        if part.plan.day - 1 > (LAST_DATE - start).days:
            return Held(
                "date_out_of_range",
                f"instalment {part.number} of fee {fee.fee.fee_id} would be due after {LAST_DATE}:"
                " send the right start date or plan",
            )
        if part.share:
            line = _line(placement, fee.fee, fee.item, requirement, part, whole.currency)
            line["description"] += f" · instalment {part.number} of {len(plan)}" * (len(plan) > 1)
            line["derivation"] = _derivation(placement, fee.item, whole, plan, part, back)
            if back is not None and end is not None:
                line["credit_date"] = end.isoformat()
            lines.append(line)
    refund = ZERO
    if back is not None:
        beyond = back.amount - (sum(due, ZERO) - sum(kept, ZERO))
        refund = min(beyond, sum(set_offs, ZERO))
    return _FeeLines(lines, refund)


def _line(
    placement: PlacementCreated,
    fee: PlacementFee,
    item: CatalogItem,
    requirement: Requirement,
    part: _Part,
    currency: str,
) -> Line:
    due = (placement.start_date + timedelta(days=part.plan.day - 1)).isoformat()
    return {
        "line_key": compact_json(["p", fee.fee_id, fee.item_id, part.number]),
        "line_kind": "product",
        "billing_company": requirement.billing_company,
        "billto_node": requirement.office_id,
        "currency": currency,
        "quantity": str(int(part.kept.compare(ZERO))),
        "unit": PIECE,
        "unit_price": plain(abs(part.kept)),
        "amount": plain(part.kept),
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
        "description": f"{item.name or item.item_id} · {placement.worker_id}",
    }


def _derivation(
    placement: PlacementCreated,
    item: CatalogItem,
    whole: FeeAmount,
    plan: Sequence[Instalment],
    part: _Part,
    back: GivenBack | None,
) -> dict[str, Any]:
    """Return how an instalment comes about: base and percent, share, and what a leaver takes."""
    currency = whole.currency
    formula = whole.base
    if whole.percent:
        total = format_price(whole.amount, currency)
        formula = f"{whole.base} × {whole.percent} % = {total}"
    if len(plan) > 1:
        shares = sum((each.share for each in plan), ZERO)
        share = "{} %" if shares == 100 else f"{{}}/{plain(shares)}"
        share = share.format(plain(part.plan.share))
        formula += f", {share} of it = {format_price(part.share, currency)}"
    derivation: dict[str, Any] = {
        "item": item.item_id,
        "base": whole.base,
        "percent": whole.percent,
        "part": {"share": plain(part.plan.share), "day": str(part.plan.day)},
        "revision": str(placement.revision),
    }
    due = part.share - part.set_off
    if part.set_off:
        derivation["retainer"] = {
            "requirement": placement.requirement_id,
            "set_off": plain(part.set_off),
        }
        formula += (
            f"; retainer of {placement.requirement_id}: {format_price(part.share, currency)} −"
            f" {format_price(part.set_off, currency)} = {format_price(due, currency)}"
        )
    if back is not None:
        taken = due - part.kept
        derivation["guarantee"] = {
            "day": str(back.day),
            "percent": plain(back.percent),
            "given_back": plain(back.amount),
            "taken": plain(taken),
        }
        formula += (
            f"; guarantee: left on day {back.day}, {plain(back.percent)} % of the fee"
            f" ({format_price(back.amount, currency)}) is due back:"
            f" {format_price(due, currency)} − {format_price(taken, currency)}"
            f" = {format_price(part.kept, currency)}"
        )
    return derivation | {"formula": formula}
