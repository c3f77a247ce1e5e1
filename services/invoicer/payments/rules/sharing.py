"""How money is shared over the lines of a document, and what a credit frees of it.

Pure: the lines of one document with their values and what is paid of each. A value is net after
allowance, plus tax, less credits, with its sign: a credit on a netted document is below zero. Parts
are multiples of the smallest unit of the currency and add up to the whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from shared.money import ZERO, split

Amounts = Mapping[int, Decimal]
"""An amount for each line, by line number."""


@dataclass(frozen=True, slots=True)
class PaidByPayment:
    """What one payment pays of each line of a document."""

    payment_id: str
    lines: Amounts

    @property
    def total(self) -> Decimal:
        """What the payment pays of the document."""
        return sum(self.lines.values(), ZERO)


def share(amount: Decimal, weights: Amounts, step: Decimal) -> dict[int, Decimal]:
    """Share an amount of zero or more over lines by their weights; lines without a part are left
    out.

    By largest remainder; a negative weight gets a negative part. If the amount is at most the sum
    of the weights, no part is larger than its weight.
    """
    parts = split(amount, list(weights.values()), step) if amount else []
    return {line_no: part for line_no, part in zip(weights, parts, strict=False) if part}


def values_to_pay(values: Amounts, paid_on_document: Decimal, step: Decimal) -> dict[int, Decimal]:
    """Return the values without what is paid of the document as a whole.

    An accounting system or opening data says what is paid of a document, not of which line. It is
    shared over the lines by their values; what exceeds the document is left out.
    """
    whole = sum(values.values(), ZERO)
    parts = share(max(min(paid_on_document, whole), ZERO), values, step)
    return {line_no: value - parts.get(line_no, ZERO) for line_no, value in values.items()}


def paid_by_line(payments: Iterable[PaidByPayment]) -> dict[int, Decimal]:
    """Return what all payments together pay of each line."""
    paid: dict[int, Decimal] = {}
    for payment in payments:
        for line_no, amount in payment.lines.items():
            paid[line_no] = paid.get(line_no, ZERO) + amount
    return paid


def left_of(values: Amounts, paid: Amounts) -> dict[int, Decimal]:
    """Return what is left of each line: its value less what is paid of it.

    A line that is paid beyond its value has nothing left.
    """
    left: dict[int, Decimal] = {}
    for line_no, value in values.items():
        rest = value - paid.get(line_no, ZERO)
        left[line_no] = ZERO if rest * value < 0 else rest
    return left


def apply_to_lines(
    amount: Decimal,
    values: Amounts,
    paid: Amounts,
    step: Decimal,
    chosen: Sequence[int] = (),
    disputed: Amounts = MappingProxyType({}),
) -> dict[int, Decimal]:
    """Share what is applied over the lines of a document, or over those that are chosen.

    `amount` is at most `most_to_apply`. What is disputed of lines is paid last, unless the lines
    are chosen.
    """
    left = left_of(values, paid)
    due = due_of(left, disputed)
    whole = sum(due.values(), ZERO)
    if chosen or due == left or whole <= 0:
        return share(amount, _chosen(left, chosen), step)
    if amount <= whole:
        return share(amount, due, step)
    parts = {line_no: part for line_no, part in due.items() if part}
    rest = {line_no: left[line_no] - due[line_no] for line_no in left}
    _add(parts, share(amount - whole, rest, step))
    return parts


def due_of(left: Amounts, disputed: Amounts) -> dict[int, Decimal]:
    """Return what is left of each line without what is disputed of it."""
    return {
        line_no: rest - min(disputed.get(line_no, ZERO), max(rest, ZERO))
        for line_no, rest in left.items()
    }


def most_to_apply(values: Amounts, paid: Amounts, chosen: Sequence[int] = ()) -> Decimal:
    """Return what is left to pay of a document, or of the lines that are chosen of it.

    It is never more than what is left of the document, so that no document is overpaid.
    """
    balance = sum(values.values(), ZERO) - sum(paid.values(), ZERO)
    left = sum(_chosen(left_of(values, paid), chosen).values(), ZERO)
    return max(min(left, balance), ZERO)


def _chosen(left: Amounts, chosen: Sequence[int]) -> dict[int, Decimal]:
    return {line_no: rest for line_no, rest in left.items() if not chosen or line_no in chosen}


def free_by_credit(
    values: Amounts, payments: Sequence[PaidByPayment], step: Decimal
) -> dict[str, dict[int, Decimal]]:
    """Return the changes of payments, by line, after credits lowered the values of lines.

    `payments` are in the order in which they were applied. What is paid beyond the value of a line
    is freed, of the newest payment first. It goes to what is left of the other lines, of the oldest
    payment first; what exceeds the document is no longer applied to it, so that the changes of its
    payment have a sum below zero. Payments that keep all that they have are left out.
    """
    whole = sum(values.values(), ZERO)
    if whole <= 0:
        changes = {
            each.payment_id: {line_no: -amount for line_no, amount in each.lines.items()}
            for each in payments
        }
    else:
        changes = {each.payment_id: {} for each in payments}
        pools = _free_of_lines(values, payments, changes)
        rest = _after(payments, changes)
        left = {no: value - rest.get(no, ZERO) for no, value in values.items()}
        _settle(left, payments, pools, changes, step)
        _keep_above_zero(payments, changes)
    return {
        payment_id: moved
        for payment_id, lines in changes.items()
        if (moved := {line_no: amount for line_no, amount in lines.items() if amount})
    }


def _free_of_lines(
    values: Amounts,
    payments: Sequence[PaidByPayment],
    changes: dict[str, dict[int, Decimal]],
) -> dict[str, Decimal]:
    """Take from each line what is paid beyond its value, the newest payment first.

    Returns what is freed by payment.
    """
    pools = {each.payment_id: ZERO for each in payments}
    for line_no, paid in paid_by_line(payments).items():
        excess = paid - max(values.get(line_no, ZERO), ZERO)
        for each in reversed(payments):
            taken = min(max(each.lines.get(line_no, ZERO), ZERO), excess)
            if taken > 0:
                _add(changes[each.payment_id], {line_no: -taken})
                pools[each.payment_id] += taken
                excess -= taken
    return pools


def _settle(
    left: Amounts,
    payments: Sequence[PaidByPayment],
    pools: Mapping[str, Decimal],
    changes: dict[str, dict[int, Decimal]],
    step: Decimal,
) -> None:
    """Give what is freed to what is left of the lines; what exceeds the document stays freed."""
    freed, open_amount = sum(pools.values(), ZERO), sum(left.values(), ZERO)
    given = share(freed, left, step) if freed < open_amount else dict(left)
    rest = sum(given.values(), ZERO)
    if rest < 0:  # negative lines only: the document is worth less than what is paid of it
        for each in reversed(payments):
            left_to_it = each.total + sum(changes[each.payment_id].values(), ZERO)
            back = max(min(left_to_it, -rest), ZERO)
            wanted = {line_no: -amount for line_no, amount in given.items()}
            part = {no: -amount for no, amount in share(back, wanted, step).items()}
            rest += back
            _give(changes[each.payment_id], part, given)
        return
    for each in payments:
        part = share(min(pools[each.payment_id], rest), given, step)
        rest -= sum(part.values(), ZERO)
        _give(changes[each.payment_id], part, given)
    if payments and any(given.values()):  # parts of opposite signs that add up to nothing
        _give(changes[payments[-1].payment_id], dict(given), given)


def _keep_above_zero(
    payments: Sequence[PaidByPayment], changes: dict[str, dict[int, Decimal]]
) -> None:
    """Move parts of negative lines from a payment that would pay less than nothing to others."""

    def total(payment: PaidByPayment) -> Decimal:
        return payment.total + sum(changes[payment.payment_id].values(), ZERO)

    for short in payments:
        for other in reversed(payments):
            change = changes[short.payment_id]
            for line_no in sorted({*short.lines, *change}):
                part = short.lines.get(line_no, ZERO) + change.get(line_no, ZERO)
                moved = min(-total(short), total(other), -part)
                if moved > 0:
                    _add(change, {line_no: moved})
                    _add(changes[other.payment_id], {line_no: -moved})


def _give(change: dict[int, Decimal], part: Amounts, given: dict[int, Decimal]) -> None:
    """Add a part to the changes of a payment, and take it off what is to be given."""
    _add(change, part)
    _add(given, {line_no: -amount for line_no, amount in part.items()})


def _add(amounts: dict[int, Decimal], more: Amounts) -> None:
    for line_no, amount in more.items():
        amounts[line_no] = amounts.get(line_no, ZERO) + amount


def _after(payments: Sequence[PaidByPayment], changes: Mapping[str, Amounts]) -> dict[int, Decimal]:
    """Return what is paid of each line after the changes."""
    paid = paid_by_line(payments)
    for change in changes.values():
        _add(paid, change)
    return paid
