"""What an operator may make of an open line: another quantity (the amount follows, rounded) or another amount. Kept as a difference."""

from decimal import Decimal

from services.invoicer.lines.rules import QuantityAmount, value_of
from shared.errors import Refused
from shared.events.realizations import RealizationLine
from shared.money import Money, minor_unit, plain, rounded


def edited(
    line: RealizationLine, quantity: Decimal | None, amount: Decimal | None
) -> QuantityAmount:
    """The difference that an edit makes. Raises `Refused` if there is none, or if the result is no amount that can be billed."""
    for name, value in (("quantity", quantity), ("amount", amount)):
        if value is not None and value < 0:
            raise Refused(
                "below_zero",
                f"{name} {plain(value)} is below zero",
                "a credit comes from a revision of the document",
            )
    if amount is not None and rounded(amount, line.currency) != amount:
        step = plain(minor_unit(line.currency))
        raise Refused(
            "not_a_whole_unit",
            f"{plain(amount)} {line.currency} is no multiple of {step}",
            f"give an amount in steps of {step}",
        )
    after = (
        QuantityAmount(line.quantity, amount)
        if amount is not None
        else _priced(line, quantity or Decimal(0))
    )
    difference = after - value_of(line)
    if not difference:
        raise Refused(
            "nothing_changes",
            f"the line has {plain(line.quantity)} and {plain(line.amount)} {line.currency} already",
            "give another value",
        )
    return difference


def _priced(line: RealizationLine, quantity: Decimal) -> QuantityAmount:
    return QuantityAmount(quantity, Money.of(quantity, line.unit_price, line.currency).amount)
