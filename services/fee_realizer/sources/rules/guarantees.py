"""What the fee of a placement gives back when the worker leaves in the guarantee.

A guarantee is a table on the catalog item, such as 100 % until day 30, 75 % until day 60 and 50 %
until day 90. The percent is of the whole fee. Instalments shrink from the last one: settlement
withdraws those that are open and credits those that are invoiced, with the last day worked as the
effective date of the credit. After the last day of the table the fee is earned.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from services.fee_realizer.sources.rules.facts import GuaranteePart
from shared.money import ZERO, rounded

WHOLE = Decimal(100)


class GivenBack(NamedTuple):
    """What is due back: the day of the last work (1 is the start), percent of the fee, amount."""

    day: int
    percent: Decimal
    amount: Decimal


def given_back(
    guarantee: Sequence[GuaranteePart],
    start_date: date,
    end_date: date | None,
    fee: Decimal,
    currency: str,
) -> GivenBack | None:
    """Return what a fee gives back, or None while no one left in the guarantee.

    A worker who left before the start did not begin: the whole fee is due back.
    """
    if not guarantee or end_date is None or fee <= 0:
        return None
    day = (end_date - start_date).days + 1
    percent = next((part.percent for part in guarantee if day <= part.until_day), ZERO)
    if day < 1:
        percent = WHOLE
    return GivenBack(day, percent, rounded(fee * percent / 100, currency)) if percent else None


def kept_of(instalments: Sequence[Decimal], back: Decimal) -> list[Decimal]:
    """Return what is left of each instalment when `back` is taken, from the last one on."""
    kept = list(instalments)
    for at in reversed(range(len(kept))):
        taken = min(kept[at], back)
        kept[at] -= taken
        back -= taken
    return kept
