"""Money and quantities: Decimal only, one place that rounds, parts that always sum to the whole.

Rates and quantities have at most 4 decimals; amounts have the currency's minor unit (JPY 0, USD 2, KWD 3).
Source of the rules: domain rules 7 (money and tax).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, lru_cache

from babel import Locale
from babel.numbers import get_currency_precision

RATE_PLACES = Decimal("0.0001")
ZERO = Decimal(0)


@cache
def known_currency(currency: str) -> bool:
    """Whether the three letters are an ISO 4217 code that people still use."""
    return len(currency) == 3 and currency.isupper() and currency in Locale("en").currencies


@cache
def minor_unit(currency: str) -> Decimal:
    """The smallest step of an amount: 0.01 for USD, 1 for JPY, 0.001 for KWD."""
    return Decimal(1).scaleb(-get_currency_precision(currency))


@cache
def currencies_without_two_decimals() -> tuple[tuple[str, int], ...]:
    """The currencies whose amounts have not two decimals, with how many they have: what SQL needs to round as `rounded` does."""
    places = (
        (currency, get_currency_precision(currency)) for currency in sorted(Locale("en").currencies)
    )
    return tuple((currency, count) for currency, count in places if count != 2)


def rounded(value: Decimal, currency: str) -> Decimal:
    """Round half up (away from zero for negatives, so that a credit mirrors its debit) to the currency's minor unit."""
    return value.quantize(minor_unit(currency), rounding=ROUND_HALF_UP)


def rounded_rate(value: Decimal) -> Decimal:
    """Round half up to the four decimals that rates and quantities have."""
    return value.quantize(RATE_PLACES, rounding=ROUND_HALF_UP)


@lru_cache(maxsize=10_000, typed=True)
def plain(value: Decimal) -> str:
    """The decimal without an exponent and without useless zeros: the form in line keys and messages (40.0 is 40)."""
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency, already at the currency's minor unit."""

    amount: Decimal
    currency: str

    @classmethod
    def of(cls, quantity: Decimal, unit_price: Decimal, currency: str) -> "Money":
        """quantity × unit price, rounded once. 2 × 35.0350 USD is 70.07."""
        return cls(rounded(quantity * unit_price, currency), currency)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount + self._same(other).amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount - self._same(other).amount, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def _same(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(
                f"{self.currency} and {other.currency} cannot be added: one document has one currency"
            )
        return other


def split(total: Decimal, weights: Sequence[Decimal], step: Decimal) -> list[Decimal]:
    """Largest remainder: parts at multiples of `step` that sum to `total`; equal remainders go to the earlier part.

    100.00 in three equal parts is 33.34, 33.33, 33.33. `total` must be a multiple of `step`; weights are not negative.
    """
    whole = sum(weights, ZERO)
    if not weights:
        return []
    if whole == 0:
        return [total, *([ZERO] * (len(weights) - 1))]
    sign = -1 if total < 0 else 1
    units = int(abs(total) / step)
    shares = [units * weight / whole for weight in weights]
    floors = [int(share) for share in shares]
    left = units - sum(floors)
    by_remainder = sorted(range(len(weights)), key=lambda at: (-(shares[at] - floors[at]), at))
    for at in by_remainder[:left]:
        floors[at] += 1
    return [sign * floor * step for floor in floors]
