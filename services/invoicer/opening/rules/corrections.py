"""Which line of a loaded invoice a line of opening data corrects, and whether it fits that line."""

from collections.abc import Mapping
from typing import NamedTuple

from services.invoicer.credits.rules import IssuedDocument, IssuedLine
from services.invoicer.lines.rules import QuantityAmount
from shared.errors import Refused
from shared.events.commands import OpeningDocument, OpeningLine
from shared.money import plain

FIX = "correct the file and import it again"


class Corrected(NamedTuple):
    """A loaded document that others correct, and its lines by number."""

    issued: IssuedDocument
    lines: Mapping[int, IssuedLine]


def corrected_by(
    document: OpeningDocument, line: OpeningLine, corrected: Mapping[str, Corrected]
) -> Corrected:
    """Return the loaded invoice that a line corrects, if the line fits it."""
    where = f"line {line.line_no} of {document.invoice_number}"
    of = corrected.get(line.corrects_invoice)
    if of is None or line.corrects_line is None or line.corrects_line not in of.lines:
        raise Refused(
            "unknown_invoice",
            f"{where} corrects {line.corrects_invoice} line {line.corrects_line}, which is not"
            " loaded",
            "load the invoice first, or leave out what the line corrects",
        )
    original, issued = of.lines[line.corrects_line], of.issued
    same = (issued.account_name, issued.currency, issued.po_number) == (
        document.account_name,
        document.currency,
        document.po_number,
    )
    if not same or (original.tax_code, original.tax_rate) != (line.tax_code, line.tax_rate):
        raise Refused(
            "unlike_corrected",
            f"{where} has another debtor, currency, PO number, tax code or tax rate than"
            f" {line.corrects_invoice} line {line.corrects_line}",
            FIX,
        )
    left, taken = original.remaining, QuantityAmount(line.quantity, line.amount)
    tax_left = original.tax + original.tax_credited
    wrong_sign = taken.quantity > 0 or taken.amount > 0 or line.tax > 0
    if original.is_credit or wrong_sign or (left + taken).above_zero() != left + taken:
        raise Refused(
            "more_than_left",
            f"{where} takes {plain(taken.quantity)} and {plain(taken.amount)} off"
            f" {line.corrects_invoice} line {line.corrects_line}, of which"
            f" {plain(left.quantity)} and {plain(left.amount)} are left",
            FIX,
        )
    allowance_left = original.allowance + original.allowance_credited
    if line.allowance * allowance_left > 0 or abs(line.allowance) > abs(allowance_left):
        raise Refused(
            "more_than_left",
            f"{where} gives back {plain(line.allowance)} of allowances,"
            f" {plain(allowance_left)} are left",
            FIX,
        )
    if tax_left + line.tax < 0:
        raise Refused(
            "more_than_left",
            f"{where} takes {plain(line.tax)} tax, {plain(tax_left)} are left",
            FIX,
        )
    return of
