"""Figures of a line for systems that multiply quantity and price again (QuickBooks, e-invoices).

The amount of a correction is a difference of rounded amounts, so quantity × price may differ by a
cent. Such a line is written as quantity 1 × amount, with the real quantity in a note; the amount
never changes.
"""

from dataclasses import dataclass
from decimal import Decimal

from shared.money import plain, rounded
from shared.render.printed import UNITS
from shared.terms import ClosedLine

ONE = Decimal(1)
PIECE = "C62"


@dataclass(frozen=True, slots=True)
class LineFigures:
    """Quantity × unit price = amount, exactly, rounded to the currency. The price is not negative.

    `note` is text that the line must show.
    """

    quantity: Decimal
    unit: str
    unit_price: Decimal
    note: str = ""


def line_figures(line: ClosedLine, currency: str) -> LineFigures:
    """Return figures of the line that multiply to its amount. Signs as in `terms`."""
    if line.unit_price >= 0 and rounded(line.quantity * line.unit_price, currency) == line.amount:
        return LineFigures(line.quantity, line.unit, line.unit_price)
    unit = UNITS.get(line.unit, line.unit)
    note = (
        f"{plain(line.quantity)} {unit} at {plain(line.unit_price)}; the net is a difference of"
        " amounts, not quantity × price"
    )
    return LineFigures(-ONE if line.amount < 0 else ONE, PIECE, abs(line.amount), note)
