"""Values of placements, retainers and charges: plans, set-offs, and what a leaver gives back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Protocol

from tests.histories.reference.values import ZERO, Line, Pair, money, parts

GUARANTEE = ((3, 100), (8, 75), (15, 50))
"""Until which day of a placement how many percent of a fee are due back."""
RETAINER, TRAVEL = "RETAINER", "TRAVEL"
LONG_SINCE = date(2020, 1, 1)


class OrderWithRetainer(Protocol):
    """What is needed of a requirement."""

    company: str
    office: str
    currency: str
    order_id: str
    retainer: Decimal | None
    refundable: bool


@dataclass(frozen=True)
class Fees:
    """A revision of a placement: fee id → amount and plan (percent, day)."""

    revision: int
    order_id: str
    worker: str
    start: date
    currency: str
    fees: tuple[tuple[str, str, Decimal, tuple[tuple[Decimal, int], ...]], ...]
    end: date | None = None


@dataclass(frozen=True)
class Charge:
    """A revision of a charge; a cancelled one has no quantity."""

    revision: int
    company: str
    node: str
    currency: str
    quantity: Decimal
    price: Decimal
    day: date

    def lines(self) -> list[Line]:
        """Quantity times price."""
        if not self.quantity:
            return []
        worth = Pair(self.quantity, money(self.quantity * self.price, self.currency))
        place = self.company, self.node, self.currency
        key, days = text(["p", "charge", TRAVEL, 1]), (self.day, self.day)
        return [Line(key, ("p", TRAVEL), *place, worth, self.price, self.day, None, days, "", "")]


def text(key: list[Any]) -> str:
    """A line key."""
    return json.dumps(key, separators=(",", ":"))


def whole(fees: Fees) -> Decimal:
    """All fees of a placement together."""
    return sum((money(amount, fees.currency) for _, _, amount, _ in fees.fees), ZERO)


def taken_off(order: OrderWithRetainer, placed: Mapping[str, Fees], placement_id: str) -> Decimal:
    """What a placement takes of the retainer: who starts first takes first."""
    left = money(order.retainer or ZERO, order.currency)
    for one in sorted(placed, key=lambda one: (placed[one].start, one)):
        taken = min(left, whole(placed[one]))
        if one == placement_id:
            return taken
        left -= taken
    raise AssertionError(f"{placement_id} is no placement of {order.order_id}")


def instalments(
    order: OrderWithRetainer, placed: Mapping[str, Fees], placement_id: str
) -> tuple[list[Line], Decimal]:
    """The lines of a placement, and what a guarantee takes of the retainer beyond them."""
    fees = placed[placement_id]
    shares = {
        (at, number): share
        for at, (_, _, amount, plan) in enumerate(fees.fees)
        for number, share in enumerate(
            parts(money(amount, fees.currency), [each for each, _ in plan], fees.currency)
        )
    }
    due, off = dict(shares), taken_off(order, placed, placement_id)
    for at, number in sorted(shares, key=lambda one: (fees.fees[one[0]][3][one[1]][1], *one)):
        taken = min(off, shares[at, number])
        due[at, number] -= taken
        off -= taken
    lines, refund = [], ZERO
    for at, (fee_id, item_id, amount, plan) in enumerate(fees.fees):
        back = _due_back(money(amount, fees.currency), fees)
        numbers = range(len(plan))
        rest = back
        for number in reversed(numbers):
            taken = min(rest, due[at, number])
            due[at, number] -= taken
            rest -= taken
        of_retainer = sum((shares[at, one] for one in numbers), ZERO) - (back - rest)
        of_retainer -= sum((due[at, one] for one in numbers), ZERO)
        refund += min(rest, of_retainer)
        for number in numbers:
            kept, day = due[at, number], fees.start + timedelta(days=plan[number][1] - 1)
            if shares[at, number]:
                lines.append(
                    Line(
                        text(["p", fee_id, item_id, number + 1]),
                        ("p", item_id),
                        order.company,
                        order.office,
                        fees.currency,
                        Pair(Decimal(1) if kept else ZERO, kept),
                        kept,
                        day,
                        None,
                        (day, day),
                        fees.worker,
                        "",
                        credit_on=fees.end if back else None,
                    )
                )
    return sorted(lines, key=lambda line: line.key), refund


def _due_back(fee: Decimal, fees: Fees) -> Decimal:
    """What a fee gives back, because the worker left on its last day."""
    if fees.end is None or fee <= 0:
        return ZERO
    day = (fees.end - fees.start).days + 1
    percent = next((percent for until, percent in GUARANTEE if day <= until), 0)
    return money(fee * (100 if day < 1 else percent) / 100, fees.currency)


def retainer_line(order: OrderWithRetainer, placed: Mapping[str, Fees]) -> Line:
    """The retainer, without what guarantees give back of it."""
    refunds = {one: instalments(order, placed, one)[1] for one in placed if order.refundable}
    kept = money(order.retainer or ZERO, order.currency) - sum(refunds.values(), ZERO)
    ends = [placed[one].end for one, refund in refunds.items() if refund]
    return Line(
        text(["p", "retainer", RETAINER, 1]),
        ("p", RETAINER),
        order.company,
        order.office,
        order.currency,
        Pair(Decimal(1) if kept else ZERO, kept),
        kept,
        LONG_SINCE,
        None,
        (LONG_SINCE, LONG_SINCE),
        "",
        "",
        credit_on=max((end for end in ends if end is not None), default=None),
    )
