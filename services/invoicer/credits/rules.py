"""A credit by hand: which quantities of an invoice are credited, what each is worth, and the document that it makes (domain rules 5, 7).

The amount is what stands on the invoice line minus the rounded amount of the quantity that remains on it: 0.25 h of 7.5 × 33.33 is
249.98 − 241.64 = 8.34. A line used up gives all that stands on it in quantity, money and tax. What stands is the line less the credits that
are on closed documents. A credit that is still open reserves nothing: the document is settled again right after, and what the credit by
hand took is then no longer open. So adjusting to 38 h and writing 2 h off come out the same in either order.

`rebill` and `reissue` need no rule of their own for what is opened: worth − settled is what was credited, and settlement opens it. What
was written off is kept per document and line key, and settlement forgives it. `reissue` takes back the write-offs of its invoice, too: it
is the way to undo one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.invoices.rules.documents import Document, Group
from services.invoicer.invoices.rules.totals import TaxPart, credit_taxes
from services.invoicer.lines.rules import NOTHING, QuantityAmount, value_of
from shared.errors import Refused
from shared.events.realizations import RealizationLine
from shared.money import ZERO, minor_unit, plain, rounded
from shared.terms import DocumentType, counted

CreditPurpose = Literal["rebill", "write-off", "reissue"]
MOST_NAMED = 20
GROUP_NO = 1


@dataclass(frozen=True, slots=True)
class IssuedDocument:
    """The head of a closed document that is to be credited."""

    invoice_id: int
    invoice_number: str
    document_type: DocumentType
    account_name: str
    currency: str
    terms: DocumentTerms
    po_number: str
    invoice_date: date
    cut_off: date
    total: Decimal


@dataclass(frozen=True, slots=True)
class IssuedLine:
    """A line of it: who pays, its tax, and the credits of it that stand on closed documents (below zero)."""

    line_no: int
    document: tuple[str, str]
    line: RealizationLine
    is_credit: bool
    node: str
    level: int
    tax_code: str
    tax_rate: Decimal
    tax: Decimal
    credited: QuantityAmount = NOTHING
    tax_credited: Decimal = ZERO

    @property
    def remaining(self) -> QuantityAmount:
        """What is left on the line."""
        return value_of(self.line) + self.credited


@dataclass(frozen=True, slots=True)
class LineCredit:
    """What is taken from a line: quantity, money and tax, below zero for a line above zero."""

    of: IssuedLine
    value: QuantityAmount
    tax: Decimal

    @property
    def left(self) -> QuantityAmount:
        """What still stands afterwards."""
        return self.of.remaining + self.value


def decide(
    issued: IssuedDocument,
    lines: Sequence[IssuedLine],
    asked: Sequence[tuple[int, Decimal | None]],
    *,
    may_be_nothing: bool = False,
) -> list[LineCredit]:
    """The credits of the lines that are asked for (line number and quantity; no quantity: all that is left), in the order of the lines;
    none named: all that stands on the document. Raises `Refused`, naming line and what is left. `may_be_nothing`: nothing may stand."""
    if not asked:
        _check_not_a_credit_note(issued)
        found = [
            _credited(issued, one, None) for one in lines if one.remaining and not one.is_credit
        ]
        if not found and not may_be_nothing:
            raise Refused(
                "nothing_left",
                f"nothing stands on {issued.invoice_number} any more: all of it is credited",
                _see_remaining(issued),
            )
        return found
    by_number = {one.line_no: one for one in lines}
    unknown = [line_no for line_no, _ in asked if line_no not in by_number]
    if unknown:
        raise Refused(
            "no_such_line",
            f"{issued.invoice_number} has no line {_named(unknown)}",
            _see_remaining(issued),
        )
    credits = [line_no for line_no, _ in asked if by_number[line_no].is_credit]
    if credits:
        _check_not_a_credit_note(issued)
        raise Refused(
            "credit_line",
            f"line {_named(credits)} of {issued.invoice_number} is a credit of an invoice line",
            _undo(issued),
        )
    found = [_credited(issued, by_number[line_no], quantity) for line_no, quantity in sorted(asked)]
    if issued.total and not any(one.value.amount or one.tax for one in found):
        raise Refused(
            "zero_credit",
            f"so little of {issued.invoice_number} comes to {plain(ZERO)} {issued.currency}",
            "credit more of the line",
        )
    return found


def _credited(issued: IssuedDocument, one: IssuedLine, quantity: Decimal | None) -> LineCredit:
    remaining = one.remaining
    left = abs(remaining.quantity)
    if not remaining or (quantity is not None and quantity > left):
        asked = "" if quantity is None else f"{plain(quantity)} asked, "
        money = f"{plain(remaining.quantity)} {one.line.unit} and {rounded(remaining.amount, issued.currency)} {issued.currency}"
        raise Refused(
            "more_than_left" if remaining else "nothing_left",
            f"line {one.line_no} of {issued.invoice_number}: {asked}{money} left",
            f"credit at most {plain(left)}" if left else _see_remaining(issued),
            line_no=one.line_no,
            left=remaining.as_strings(),
        )
    taken = -value_of_quantity(one.line, remaining, left if quantity is None else quantity)
    (tax,) = credit_taxes(
        one.line.amount,
        one.tax,
        one.credited.amount,
        one.tax_credited,
        [taken.amount],
        issued.currency,
    )
    return LineCredit(one, taken, tax)


def value_of_quantity(
    line: RealizationLine, remaining: QuantityAmount, quantity: Decimal
) -> QuantityAmount:
    """What so much of a line is worth: what stands minus the rounded amount of the quantity that remains; all of it when it is used up.

    Where an operator's edit made another amount of the line than quantity × price, what remains is in proportion instead.
    """
    direction = -1 if remaining.quantity < 0 else 1
    remains = remaining.quantity - direction * quantity
    if not remains:
        return remaining
    step = minor_unit(line.currency)
    priced = abs(remaining.amount - remaining.quantity * line.unit_price) <= step
    amount = rounded(
        remains * line.unit_price if priced else remaining.amount * remains / remaining.quantity,
        line.currency,
    )
    least, most = sorted((ZERO, remaining.amount))
    return QuantityAmount(direction * quantity, remaining.amount - min(max(amount, least), most))


def credit_line(
    issued: IssuedDocument, credited: LineCredit, to: CreditPurpose, command_id: str
) -> RealizationLine:
    """The pay line of a credit: the invoiced line with what is taken from it, and where that came from."""
    one, remaining, left = credited.of, credited.of.remaining, credited.left
    words = {
        "rule": "what stands on the invoice line minus the rounded amount of the quantity that remains on it",
        "to": to,
        "command_id": command_id,
        "corrects": {"invoice": issued.invoice_number, "line": one.line_no},
        "stood": remaining.as_strings(),
        "remains": left.as_strings(),
        "formula": f"{plain(remaining.amount)} − {plain(left.amount)} = {plain(-credited.value.amount)}",
    }
    return one.line.model_copy(
        update={
            "quantity": credited.value.quantity,
            "amount": credited.value.amount,
            "derivation": {"credit": words},
        },
    )


def document_of(issued: IssuedDocument, credits: Sequence[LineCredit]) -> Document:
    """The credit note: debtor, currency, terms and PO number of the invoice; its tax is the sum of what its lines take."""
    sums: dict[tuple[str, Decimal], TaxPart] = {}
    for each in credits:
        key = (each.of.tax_code, each.of.tax_rate)
        was = sums.get(key, TaxPart(*key, ZERO, ZERO))
        sums[key] = was._replace(net=was.net + each.value.amount, tax=was.tax + each.tax)
    group = Group(
        group_no=GROUP_NO,
        account_name=issued.account_name,
        currency=issued.currency,
        terms=issued.terms,
        po_number=issued.po_number,
        credit_split=1,
        line_count=len(credits),
        credit_count=len(credits),
        service_from=min(each.of.line.service_from for each in credits),
        service_to=max(each.of.line.service_to for each in credits),
        tax_parts=tuple(sums[key] for key in sorted(sums)),
        newest_corrected=issued.invoice_id,
    )
    return Document(group, "credit-note")


def check_date(issued: IssuedDocument, invoice_date: date) -> None:
    """A credit note is not dated before what it corrects (a new series knows no last date that would say so)."""
    if invoice_date < issued.invoice_date:
        raise Refused(
            "date_before_invoice",
            f"credit date {invoice_date} is before {issued.invoice_date}, the date of {issued.invoice_number}",
            f"give a date from {issued.invoice_date} on, or none",
        )


def _check_not_a_credit_note(issued: IssuedDocument) -> None:
    if issued.document_type == "credit-note":
        raise Refused(
            "is_credit_note",
            f"{issued.invoice_number} is a credit note: a credit is undone by a further document, not by crediting it",
            _undo(issued),
        )


def _undo(issued: IssuedDocument) -> str:
    return (
        "what was credited to rebill is open and is billed by the next batch; what was written off is billed again after"
        " `backoffice credit NUMBER --reissue` of the invoice that it corrects, which opens all of that invoice again;"
        f" see `backoffice invoices show {issued.invoice_number}`"
    )


def _see_remaining(issued: IssuedDocument) -> str:
    return f"see what is left: `backoffice invoices show {issued.invoice_number}`"


def _named(line_nos: Sequence[int]) -> str:
    more = (
        f" and {counted(len(line_nos) - MOST_NAMED, 'more', 'more')}"
        if len(line_nos) > MOST_NAMED
        else ""
    )
    return ", ".join(str(line_no) for line_no in line_nos[:MOST_NAMED]) + more
