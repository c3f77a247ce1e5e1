"""Realizing a placement: each fee is a fixed amount or a percent of the salary, at once or in the parts of a pay plan.

Source: domain rules 2 (products & services): 20 % of 100,000.00 in 50/50 at day 1 and day 90 is two lines of 10,000.00. Parts always
sum to the whole; day 1 is the start.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from services.fee_realizer.rules.facts import Facts, Item, Line, Part, Requirement, in_json
from services.fee_realizer.rules.gates import Held, missing_fact
from services.fee_realizer.rules.timesheets import Realized, Worth, printed
from shared.events.ats import PlacementCreated, PlacementFee
from shared.events.field_types import LAST_DATE
from shared.money import minor_unit, plain, rounded, split

PIECE = "C62"
PRICE_LIMIT = Decimal(10) ** 10
"""What a unit price may have on the wire; a fee is the price of one piece."""
AT_ONCE = (Part(Decimal(100), 1),)


def realize_placement(placement: PlacementCreated, facts: Facts) -> Worth:
    """The lines that the fees of a placement are worth, or what it waits for. Without fees it is worth nothing."""
    if not placement.fees:
        return Realized([])
    held = missing_fact([placement.requirement_id], facts)
    if held is not None:
        return held
    requirement = facts.requirement(placement.requirement_id)
    lines: list[Line] = []
    for fee in placement.fees:
        item = facts.item(fee.item_id)
        if not item.known:
            return Held(
                "unknown_catalog_item",
                f"catalog item {fee.item_id} of fee {fee.fee_id} is not known: set it with set-catalog-item",
            )
        whole = _whole(placement, fee, item, requirement)
        if isinstance(whole, Held):
            return whole
        parts = _parts(placement, fee, item, requirement, whole)
        if isinstance(parts, Held):
            return parts
        lines += parts
    lines.sort(key=lambda line: str(line["line_key"]))
    return Realized(lines)


def _whole(
    placement: PlacementCreated, fee: PlacementFee, item: Item, requirement: Requirement
) -> tuple[Decimal, str, str, str] | Held:
    """The fee before it is parted: amount, currency, and how it came about (base, percent). The fee's own terms win over the item's."""
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
            f"fee {fee.fee_id} of catalog item {fee.item_id} has no currency: send the placement with one",
        )
    if percent is None:
        amount = rounded(
            (fee.amount if fee.amount is not None else item.amount) or Decimal(0), currency
        )
        return amount, currency, printed(amount, currency), ""
    if placement.salary is None:
        return Held(
            "no_salary",
            f"fee {fee.fee_id} is {plain(percent)} % of the salary, and the placement has none: send its next revision with salary",
        )
    amount = rounded((placement.salary * percent).scaleb(-2), currency)
    return amount, currency, printed(placement.salary, currency), plain(percent)


def _parts(
    placement: PlacementCreated,
    fee: PlacementFee,
    item: Item,
    requirement: Requirement,
    whole: tuple[Decimal, str, str, str],
) -> list[Line] | Held:
    amount, currency, base, percent = whole
    if abs(amount) >= PRICE_LIMIT:
        return Held(
            "amount_too_large",
            f"fee {fee.fee_id} would be {PRICE_LIMIT:,} {currency} or more: send the right amount, percent or salary",
        )
    plan: Sequence[Part] = AT_ONCE
    if fee.plan is not None:
        plan = [Part(part.share, part.day) for part in fee.plan]
    elif item.plan is not None:
        plan = item.plan
    lines = []
    for number, (part, share) in enumerate(
        zip(plan, split(amount, [part.share for part in plan], minor_unit(currency)), strict=True),
        1,
    ):
        if part.day - 1 > (LAST_DATE - placement.start_date).days:
            return Held(
                "date_out_of_range",
                f"instalment {number} of fee {fee.fee_id} would fall due after {LAST_DATE}: send the right start date or plan",
            )
        if share:
            due = placement.start_date + timedelta(days=part.day - 1)
            formula = f"{base} × {percent} % = {printed(amount, currency)}" if percent else base
            if len(plan) > 1:
                formula += f", {plain(part.share)} % of it = {printed(share, currency)}"
            derivation = {
                "item": item.item_id,
                "base": base,
                "percent": percent,
                "part": {"share": plain(part.share), "day": str(part.day)},
                "revision": str(placement.revision),
                "formula": formula,
            }
            lines.append(
                _line(placement, fee, item, requirement, (share, currency, due, number, len(plan)))
                | {"derivation": derivation}
            )
    return lines


def _line(
    placement: PlacementCreated,
    fee: PlacementFee,
    item: Item,
    requirement: Requirement,
    part: tuple[Decimal, str, date, int, int],
) -> Line:
    share, currency, due, number, of = part
    day = due.isoformat()
    instalment = f" · instalment {number} of {of}" if of > 1 else ""
    return {
        "line_key": in_json(["p", fee.fee_id, fee.item_id, number]),
        "line_kind": "product",
        "billing_company": requirement.billing_company,
        "billto_node": requirement.office_id,
        "currency": currency,
        "quantity": "1" if share > 0 else "-1",
        "unit": PIECE,
        "unit_price": plain(abs(share)),
        "amount": plain(share),
        "effective_date": day,
        "service_from": day,
        "service_to": day,
        "requirement_id": placement.requirement_id,
        "worker_id": placement.worker_id,
        "item_id": fee.item_id,
        "project": requirement.project,
        "cost_center": requirement.cost_center,
        "po_number": fee.po_number or requirement.po_number,
        "tax_code": item.tax_code,
        "description": f"{item.name or item.item_id} · {placement.worker_id}{instalment}",
    }
