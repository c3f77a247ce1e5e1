"""The values of a pay line: its quantity and amount, its location, the line that corrects another, and its derived status.

Nothing stores the status that people see, so it is right even if no worker runs. Today is an argument:
Invoiced = on a document; Scheduled = open, effective after today; Snoozed = open, due, on hold;
Pending = open and due.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple

from shared.events.realizations import RealizationLine
from shared.money import ZERO, plain

DocKey = tuple[str, str]
"""Document kind and id."""
LineLocation = Literal["open", "draft", "invoiced"]
Status = Literal["Scheduled", "Pending", "Snoozed", "Draft", "Invoiced"]


@dataclass(frozen=True, slots=True)
class QuantityAmount:
    """Quantity and money side by side: both are conserved, each on its own."""

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
        """The smaller of both, each part on its own."""
        return QuantityAmount(min(self.quantity, other.quantity), min(self.amount, other.amount))

    def above_zero(self) -> "QuantityAmount":
        """What is above zero, each part on its own."""
        return QuantityAmount(max(self.quantity, ZERO), max(self.amount, ZERO))

    def as_strings(self) -> dict[str, str]:
        """As a derivation keeps it."""
        return {"quantity": plain(self.quantity), "amount": plain(self.amount)}


NOTHING = QuantityAmount()


@dataclass(frozen=True, slots=True)
class InvoicedLine:
    """A line on a closed document."""

    invoice_id: int
    line_no: int
    invoice_number: str = ""


@dataclass(frozen=True, slots=True)
class PayLine:
    """A pay line that counts: open, on a draft, or on a closed document (`invoiced_line`). A credit names the line it `corrects`."""

    pay_line_id: int
    location: LineLocation
    line: RealizationLine
    invoiced_line: InvoicedLine | None = None
    corrects: tuple[int, int] | None = None

    @property
    def value(self) -> QuantityAmount:
        """What the line adds to its key; credits take away."""
        return value_of(self.line)


class NewLine(NamedTuple):
    """A line to be opened. `correction`: its key stands on a closed document already."""

    line: RealizationLine
    corrects: tuple[int, int] | None = None
    correction: bool = False


def value_of(line: RealizationLine) -> QuantityAmount:
    """Quantity and amount of a line."""
    return QuantityAmount(line.quantity, line.amount)


def on_hold(until_date: date | None, today: date, *, is_credit: bool = False) -> bool:
    """Whether a snooze still holds a line: until released, or until its date has come. Credit lines are never on hold."""
    return not is_credit and (until_date is None or until_date > today)


def status_of(location: LineLocation, effective_date: date, today: date, *, held: bool) -> Status:
    """What people call the line today. A snooze that is set on a Scheduled line shows Scheduled until its day comes."""
    if location == "invoiced":
        return "Invoiced"
    if location == "draft":
        return "Draft"
    if effective_date > today:
        return "Scheduled"
    return "Snoozed" if held else "Pending"
