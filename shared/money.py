"""Money and quantities: Decimal only; this file alone rounds; parts always sum to the whole.

Rates and quantities have at most 4 decimals; amounts have the currency's minor unit (JPY 0, USD 2,
KWD 3).
"""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from functools import cache, lru_cache

from babel import Locale
from babel.numbers import get_currency_precision

RATE_PLACES = Decimal("0.0001")
ZERO = Decimal(0)


@cache
def known_currency(currency: str) -> bool:
    """Whether the text is an ISO 4217 currency code (three capital letters)."""
    return len(currency) == 3 and currency.isupper() and currency in Locale("en").currencies


@cache
def minor_unit(currency: str) -> Decimal:
    """Return the smallest unit of an amount: 0.01 for USD, 1 for JPY, 0.001 for KWD."""
    return Decimal(1).scaleb(-get_currency_precision(currency))


@cache
def currencies_without_two_decimals() -> tuple[tuple[str, int], ...]:
    """Return (currency, decimals) for currencies without two decimals: SQL rounds by them."""
    places = (
        (currency, get_currency_precision(currency)) for currency in sorted(Locale("en").currencies)
    )
    return tuple((currency, count) for currency, count in places if count != 2)


def rounded(value: Decimal, currency: str) -> Decimal:
    """Round half up to the currency's minor unit.

    Negative values round away from zero, so that a credit mirrors its debit.
    """
    return value.quantize(minor_unit(currency), rounding=ROUND_HALF_UP)


def written(value: Decimal, currency: str) -> str:
    """Write an amount for people, rounded and with separators: 1,900.00 USD without the code."""
    return f"{rounded(value, currency):,f}"


@lru_cache(maxsize=10_000, typed=True)
def plain(value: Decimal) -> str:
    """Write a decimal without exponent and trailing zeros (40.0 is 40), as line keys do."""
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def split(total: Decimal, weights: Sequence[Decimal], step: Decimal) -> list[Decimal]:
    """Split `total` by weights into multiples of `step` that sum to `total` (largest remainder).

    Equal remainders go to the earlier part: 100.00 in three equal parts is 33.34, 33.33, 33.33.
    `total` must be a multiple of `step`; the sum of the weights must not be negative. A negative
    weight has a negative part: 90 by weights of 100 and -10 is 100 and -10.
    """
    whole = sum(weights, ZERO)
    if not weights:
        return []
    if whole == 0:
        return [total, *([ZERO] * (len(weights) - 1))]
    sign = -1 if total < 0 else 1
    units = int(abs(total) / step)
    shares = [units * weight / whole for weight in weights]
    floors = [int(share.to_integral_value(ROUND_FLOOR)) for share in shares]
    left = units - sum(floors)
    by_remainder = sorted(range(len(weights)), key=lambda at: (-(shares[at] - floors[at]), at))
    for at in by_remainder[:left]:
        floors[at] += 1
    return [sign * floor * step for floor in floors]
