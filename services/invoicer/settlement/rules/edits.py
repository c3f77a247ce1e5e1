"""What an operator can make of an open line: another quantity, or another amount.

The amount follows a new quantity, rounded. An edit is stored as a difference.
"""

from decimal import Decimal

from services.invoicer.lines.rules import QuantityAmount, value_of
from shared.errors import Refused
from shared.events.realizations import RealizationLine
from shared.money import minor_unit, plain, rounded


def edited(
    line: RealizationLine, quantity: Decimal | None, amount: Decimal | None
) -> QuantityAmount:
    """Return the difference that an edit makes.

    Raises `Refused` if there is none, or if the result cannot be billed.
    """
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
    if amount is not None:
        after = QuantityAmount(line.quantity, amount)
    else:
        new = quantity or Decimal(0)
        after = QuantityAmount(new, rounded(new * line.unit_price, line.currency))
    difference = after - value_of(line)
    if not difference:
        raise Refused(
            "nothing_changes",
            f"the line has {plain(line.quantity)} and {plain(line.amount)} {line.currency} already",
            "give another value",
        )
    return difference
