"""Lines as a system reads them that multiplies quantity and price again: QuickBooks, and whoever reads an e-invoice.

Owns one rule (domain rules 5): the amount of a correction is a difference of rounded amounts, so quantity × price may miss it by a
cent. Such a line goes as quantity 1 × amount, with the quantity that it stands for in its text; the amount is never touched.
"""

from dataclasses import dataclass
from decimal import Decimal

from shared.money import plain, rounded
from shared.render.printed import UNITS
from shared.terms import ClosedDocument, ClosedLine

ONE = Decimal(1)
PIECE = "C62"


@dataclass(frozen=True, slots=True)
class LineFigures:
    """Quantity × unit price = amount, exactly, rounded as the currency is. The price is never negative; `note` is what the text must add."""

    quantity: Decimal
    unit: str
    unit_price: Decimal
    note: str = ""


def line_figures(line: ClosedLine, currency: str) -> LineFigures:
    """The line with figures that give its amount when they are multiplied. Signs as in `terms`."""
    if line.unit_price >= 0 and rounded(line.quantity * line.unit_price, currency) == line.amount:
        return LineFigures(line.quantity, line.unit, line.unit_price)
    unit = UNITS.get(line.unit, line.unit)
    note = f"{plain(line.quantity)} {unit} at {plain(line.unit_price)}; the net is a difference of amounts, not quantity × price"
    return LineFigures(-ONE if line.amount < 0 else ONE, PIECE, abs(line.amount), said)


def display_sign(document: ClosedDocument) -> int:
    """By what the signs of a document are multiplied for people, e-invoices and AR/GL: a credit note's total is positive there."""
    return -1 if document.document_type == "credit-note" else 1
