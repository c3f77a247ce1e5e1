"""Amounts that commands name."""

from decimal import Decimal

from shared.errors import Refused
from shared.money import ZERO, plain, rounded


def require_amount(amount: Decimal, currency: str, where: str) -> None:
    """Refuse an amount that has more decimals than its currency."""
    if amount != rounded(amount, currency):
        raise Refused(
            "too_many_decimals",
            f"{where}: {plain(amount)} is no amount of {currency}",
            f"give at most {-int(rounded(ZERO, currency).as_tuple().exponent)} decimals",
        )
