"""A pay line: its quantity and amount, location, the line that it corrects, and its status.

The status is never stored, so it is right even if no worker runs. Today is an argument:
Invoiced = on a document; Scheduled = open, effective after today; Snoozed = open, due, on hold;
Pending = open and due.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from shared.events.realizations import RealizationLine
from shared.money import ZERO, plain

DocKey = tuple[str, str]
"""Document kind and id."""
LineLocation = Literal["open", "draft", "invoiced"]


@dataclass(frozen=True, slots=True)
class QuantityAmount:
    """A quantity and an amount of money. Both are conserved, each by itself."""

    quantity: Decimal = ZERO
    amount: Decimal = ZERO

    def __add__(self, other: "QuantityAmount") -> "QuantityAmount":
        return QuantityAmount(self.quantity + other.quantity, self.amount + other.amount)

    def __sub__(self, other: "QuantityAmount") -> "QuantityAmount":
        return QuantityAmount(self.quantity - other.quantity, self.amount - other.amount)

    def __neg__(self) -> "QuantityAmount":
        return QuantityAmount(-self.quantity, -self.amount)

    def __bool__(self) -> bool:
        return bool(self.quantity or self.amount)

    def at_most(self, other: "QuantityAmount") -> "QuantityAmount":
        """Return the smaller of both, each part by itself."""
        return QuantityAmount(min(self.quantity, other.quantity), min(self.amount, other.amount))

    def above_zero(self) -> "QuantityAmount":
        """Return the parts that are above zero; the others become zero."""
        return QuantityAmount(max(self.quantity, ZERO), max(self.amount, ZERO))

    def as_strings(self) -> dict[str, str]:
        """Return both as strings, the form in a derivation."""
        return {"quantity": plain(self.quantity), "amount": plain(self.amount)}


NOTHING = QuantityAmount()


class InvoicedLine(NamedTuple):
    """A line of a closed document."""

    invoice_id: int
    line_no: int
    invoice_number: str = ""


class PayLine(NamedTuple):
    """A pay line that is not replaced. A credit names the invoice line that it `corrects`."""

    pay_line_id: int
    location: LineLocation
    realized: RealizationLine
    invoiced_line: InvoicedLine | None = None
    corrects: tuple[int, int] | None = None

    @property
    def value(self) -> QuantityAmount:
        """The quantity and amount of the line; negative for a credit."""
        return value_of(self.realized)


class NewLine(NamedTuple):
    """A line to open. `correction`: its key is on a closed document already."""

    realized: RealizationLine
    corrects: tuple[int, int] | None = None
    correction: bool = False


def value_of(line: RealizationLine) -> QuantityAmount:
    """Return the quantity and amount of a line."""
    return QuantityAmount(line.quantity, line.amount)
