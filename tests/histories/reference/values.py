"""Values of the reference: quantity with money, a realized line, and arithmetic of money."""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

ZERO = Decimal(0)
DECIMALS = {"JPY": 0, "USD": 2, "KWD": 3}
Document = tuple[str, str]
"""Kind and id of an original document."""


def money(value: Decimal, currency: str) -> Decimal:
    """Round half up to the currency's minor unit; a negative value mirrors its positive."""
    return value.quantize(Decimal(1).scaleb(-DECIMALS[currency]), rounding=ROUND_HALF_UP)


def short(value: Decimal) -> str:
    """A decimal as in keys: 50, 35.035."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def parts(total: Decimal, percents: list[Decimal], currency: str) -> list[Decimal]:
    """Shares that sum to the total: rounded down, then one unit more for the largest remainders."""
    unit = Decimal(1).scaleb(-DECIMALS[currency])
    exact = [total * percent / 100 / unit for percent in percents]
    units = [int(one) for one in exact]
    while sum(units) < int(total / unit):
        remainders = [one - whole for one, whole in zip(exact, units, strict=True)]
        units[remainders.index(max(remainders))] += 1
    return [unit * one for one in units]


@dataclass(frozen=True)
class Pair:
    """Quantity and money, which are never mixed."""

    quantity: Decimal = ZERO
    amount: Decimal = ZERO

    def __add__(self, other: "Pair") -> "Pair":
        return Pair(self.quantity + other.quantity, self.amount + other.amount)

    def __sub__(self, other: "Pair") -> "Pair":
        return Pair(self.quantity - other.quantity, self.amount - other.amount)

    def __neg__(self) -> "Pair":
        return Pair(-self.quantity, -self.amount)

    def __bool__(self) -> bool:
        return self.quantity != 0 or self.amount != 0

    def least(self, other: "Pair") -> "Pair":
        """The smaller quantity and the smaller amount."""
        return Pair(min(self.quantity, other.quantity), min(self.amount, other.amount))

    def above_zero(self) -> "Pair":
        """Negative parts as zero."""
        return Pair(max(self.quantity, ZERO), max(self.amount, ZERO))


NOTHING = Pair()


@dataclass(frozen=True)
class Line:
    """One line of the value of a document.

    `group`: the keys that inherit a snooze. `book`: the state of the rates. `credit_on`: the
    effective date of its credits, if not that of the line.
    """

    key: str
    group: tuple[str, ...]
    company: str
    node: str
    currency: str
    worth: Pair
    price: Decimal
    effective: date
    week: date | None
    service: tuple[date, date]
    worker: str
    po: str
    rates_of: tuple[str, str] | None = None
    book: int = 0
    credit_on: date | None = None

    @property
    def said(self) -> "Line":
        """The line without the origin of its price: its change makes a new realization."""
        return Line(**{**vars(self), "book": 0})
