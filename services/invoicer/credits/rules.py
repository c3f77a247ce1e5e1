"""A credit by hand: the credited quantities of an invoice, their values, and the credit note.

The amount is what is left of the invoice line minus the rounded amount of the quantity that
remains: 0.25 h of 7.5 × 33.33 is 249.98 − 241.64 = 8.34. A line that is used up gives all that is
left of it in quantity, money and tax. What is left is the line less its credits on closed
documents. A credit that is still open reserves nothing: the document is settled again right after,
and an open credit that this one replaces is no longer open. So an adjustment to 38 h and a
write-off of 2 h give the same result in either order.

`rebill` and `reissue` need no rule for what is opened: value − settled is what was credited, and
settlement opens it. A write-off is stored per document and line key, and settlement forgives it.
`reissue` also takes back the write-offs of its invoice: it is the way to undo one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple

from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.fees.rules import IssuedFee, IssuedLineFee, returned_markups
from services.invoicer.invoices.rules.documents import Document, Group, GroupOption
from services.invoicer.invoices.rules.totals import (
    AllowancePart,
    TaxPart,
    allowances_of,
    credit_taxes,
)
from services.invoicer.lines.rules import NOTHING, DocKey, QuantityAmount, value_of
from shared.errors import Refused
from shared.events.realizations import RealizationLine
from shared.money import ZERO, minor_unit, plain, rounded, written
from shared.terms import DocumentType, listed

CreditPurpose = Literal["rebill", "write-off", "reissue"]
LineKey = tuple[str, str, str]
"""The kind and id of a source document, and the key of a line of it."""
GROUP_NO = 1
FEE = "fee"
"""The document kind of the line of an MSP fee: it has no source document."""
MOST_NAMED = 20


class IssuedDocument(NamedTuple):
    """The head of a closed document to be credited."""

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
    option: GroupOption | None = None


class IssuedLine(NamedTuple):
    """A line of it, with its tax, its share of allowances, its debtor node, and its credits on
    closed documents (negative).
    """

    line_no: int
    document: DocKey
    realized: RealizationLine
    is_credit: bool
    node: str
    level: int
    tax_code: str
    tax_rate: Decimal
    tax: Decimal
    credited: QuantityAmount = NOTHING
    tax_credited: Decimal = ZERO
    allowance: Decimal = ZERO
    allowance_credited: Decimal = ZERO

    @property
    def is_fee(self) -> bool:
        """Whether it is an MSP fee: credits of the other lines return it."""
        return self.document[0] == FEE

    @property
    def remaining(self) -> QuantityAmount:
        """What is left of the line."""
        return value_of(self.realized) + self.credited


class LineCredit(NamedTuple):
    """What is taken from a line: quantity, money and tax, negative for a positive line.

    `allowance` is what it gives back of the share of the line: positive where that was a discount.
    """

    of: IssuedLine
    value: QuantityAmount
    tax: Decimal
    allowance: Decimal = ZERO

    @property
    def left(self) -> QuantityAmount:
        """What is left afterwards."""
        return self.of.remaining + self.value


def decide(
    issued: IssuedDocument,
    lines: Sequence[IssuedLine],
    requested: Sequence[tuple[int, Decimal | None]],
    *,
    may_be_nothing: bool = False,
) -> list[LineCredit]:
    """Return the credits of the requested lines, in the order of the lines.

    A request is a line number and a quantity (None: all that is left). Without requests all that is
    left of the document is credited; `may_be_nothing`: nothing may be left. Raises `Refused`.
    """
    see_remaining = f"see what is left: `backoffice invoices show {issued.invoice_number}`"
    by_number = {line.line_no: line for line in lines}
    unknown = [line_no for line_no, _ in requested if line_no not in by_number]
    if unknown:
        raise Refused(
            "no_such_line",
            f"{issued.invoice_number} has no line {listed(unknown)}",
            see_remaining,
        )
    fees = [line_no for line_no, _ in requested if by_number[line_no].is_fee]
    if fees:
        raise Refused(
            "fee_line",
            f"{_lines(fees)} of {issued.invoice_number} is an MSP fee: it is returned with the"
            " lines that it is taken of",
            "credit these lines; the credit note returns the fee in proportion",
        )
    credits = [line_no for line_no, _ in requested if by_number[line_no].is_credit]
    if credits or (issued.document_type == "credit-note" and not requested):
        raise _credits_cannot_be_credited(issued, lines)
    decided = [
        _credit_of(issued, by_number[line_no], quantity, see_remaining)
        for line_no, quantity in sorted(requested)
        or [
            (line.line_no, None)
            for line in lines
            if line.remaining and not line.is_credit and not line.is_fee
        ]
    ]
    if not decided and not may_be_nothing:
        raise Refused(
            "nothing_left",
            f"nothing is left of {issued.invoice_number}: all of it is credited",
            see_remaining,
        )
    if requested and issued.total and not any(each.value.amount or each.tax for each in decided):
        raise Refused(
            "zero_credit",
            f"so little of {issued.invoice_number} comes to {plain(ZERO)} {issued.currency}",
            "credit more of the line",
        )
    return decided


def _credit_of(
    issued: IssuedDocument, line: IssuedLine, quantity: Decimal | None, see_remaining: str
) -> LineCredit:
    remaining, currency = line.remaining, issued.currency
    left = abs(remaining.quantity)
    if not remaining or (quantity is not None and quantity > left):
        requested = "" if quantity is None else f"{plain(quantity)} requested, "
        raise Refused(
            "more_than_left" if remaining else "nothing_left",
            f"line {line.line_no} of {issued.invoice_number}: {requested}"
            f"{plain(remaining.quantity)} {line.realized.unit} and"
            f" {written(remaining.amount, currency)} {currency} left",
            f"credit at most {plain(left)}" if left else see_remaining,
            line_no=line.line_no,
            left=remaining.as_strings(),
        )
    taken = -value_of_quantity(line.realized, remaining, left if quantity is None else quantity)
    taxed = (line.realized.amount, line.tax, line.credited.amount, line.tax_credited)
    (tax,) = credit_taxes(*taxed, [taken.amount], currency)
    shared = (line.realized.amount, line.allowance, line.credited.amount, line.allowance_credited)
    (allowance,) = credit_taxes(*shared, [taken.amount], currency)
    return LineCredit(line, taken, tax, allowance)


class ReturnedFee(NamedTuple):
    """What credits return of a fee of the document: base and amount, signed as on the credit note.

    `lines`: what each line of the document returns of the base and of a discount. `credit`: the
    line of the credit note, of a markup.
    """

    fee: IssuedFee
    base: Decimal
    amount: Decimal
    lines: Mapping[int, tuple[Decimal, Decimal]]
    credit: LineCredit | None = None


def returned_fees(
    lines: Sequence[IssuedLine],
    decided: Sequence[LineCredit],
    fees: Mapping[int, IssuedFee],
    line_fees: Mapping[int, IssuedLineFee],
    currency: str,
) -> list[ReturnedFee]:
    """Return what the credits return of the fees of their document; `line_fees`: by line number."""
    of_fees: dict[int, dict[int, tuple[Decimal, Decimal]]] = {}
    for each in decided:
        part = line_fees.get(each.of.line_no)
        if part is not None:
            line, taken = each.of, [each.value.amount]
            of_line, credited = line.realized.amount, line.credited.amount
            (base,) = credit_taxes(
                of_line, part.base, credited, part.base_returned, taken, currency
            )
            (share,) = credit_taxes(
                of_line, part.share, credited, part.share_returned, taken, currency
            )
            of_fees.setdefault(part.fee_no, {})[line.line_no] = (base, share)
    by_number = {line.line_no: line for line in lines}
    found = []
    for fee_no, parts in sorted(of_fees.items()):
        fee = fees[fee_no]
        base = sum((each for each, _ in parts.values()), ZERO)
        if fee.charged_as == "discount":
            share = sum((each for _, each in parts.values()), ZERO)
            found.append(ReturnedFee(fee, base, share, parts))
            continue
        before = (fee.base_returned, fee.returned)
        (back,) = returned_markups(fee.base, fee.amount, fee.percent, before, [-base], currency)
        credit = None
        if back and fee.line_no is not None:
            line, value = by_number[fee.line_no], QuantityAmount(base, back)
            taxed = (line.realized.amount, line.tax, line.credited.amount, line.tax_credited)
            (tax,) = credit_taxes(*taxed, [back], currency)
            credit = LineCredit(line, value, tax)
        found.append(ReturnedFee(fee, base, back, parts, credit))
    return found


def value_of_quantity(
    line: RealizationLine, remaining: QuantityAmount, quantity: Decimal
) -> QuantityAmount:
    """Return the value of a quantity of a line: what is left minus the rounded amount that remains.

    All of it when the line is used up. Where an operator's edit gave the line another amount than
    quantity × price, the amount that remains is in proportion.
    """
    direction = -1 if remaining.quantity < 0 else 1
    remains = remaining.quantity - direction * quantity
    if not remains:
        return remaining
    step = minor_unit(line.currency)
    priced = abs(remaining.amount - remaining.quantity * line.unit_price) <= step
    exact = line.unit_price * remains if priced else remaining.amount * remains / remaining.quantity
    amount = rounded(exact, line.currency)
    least, most = sorted((ZERO, remaining.amount))
    return QuantityAmount(direction * quantity, remaining.amount - min(max(amount, least), most))


def credit_line(
    issued: IssuedDocument, credited: LineCredit, to: CreditPurpose, command_id: str
) -> RealizationLine:
    """Return the pay line of a credit: the invoiced line with the taken value and its
    derivation.
    """
    remaining, left = credited.of.remaining, credited.left
    rule = (
        "the percentage of the base that is credited, at most what is left; the last credit takes"
        " the rest"
        if credited.of.is_fee
        else "what is left of the invoice line minus the rounded amount of the quantity that"
        " remains"
    )
    derivation = {
        "rule": rule,
        "to": FEE if credited.of.is_fee else to,
        "command_id": command_id,
        "corrects": {"invoice": issued.invoice_number, "line": credited.of.line_no},
        "stood": remaining.as_strings(),
        "remains": left.as_strings(),
        "formula": f"{plain(remaining.amount)} − {plain(left.amount)}"
        f" = {plain(-credited.value.amount)}",
    }
    return credited.of.realized.model_copy(
        update={
            "quantity": credited.value.quantity,
            "amount": credited.value.amount,
            "derivation": {"credit": derivation},
        },
    )


def written_off(
    credits: Iterable[tuple[DocKey, str, QuantityAmount]],
) -> dict[LineKey, QuantityAmount]:
    """Return what credits write off, above zero. A credit: document, line key and value."""
    sums: dict[LineKey, QuantityAmount] = {}
    for document, line_key, value in credits:
        key = (*document, line_key)
        sums[key] = sums.get(key, NOTHING) - value
    return sums


def document_of(issued: IssuedDocument, credits: Sequence[LineCredit]) -> Document:
    """Return the credit note: debtor, currency, terms, PO number and option are the invoice's."""
    sums: dict[tuple[str, Decimal], TaxPart] = {}
    allowances: dict[tuple[str, Decimal], AllowancePart] = {}
    for each in credits:
        key = (each.of.tax_code, each.of.tax_rate)
        part = sums.get(key, TaxPart(*key, ZERO, ZERO))
        net = part.net + each.value.amount + each.allowance
        sums[key] = part._replace(net=net, tax=part.tax + each.tax)
        if each.allowance:
            name = allowances_of(issued.invoice_number)
            given = allowances.get(key, AllowancePart(name, *key, ZERO, None, ZERO))
            allowances[key] = given._replace(
                base=given.base + each.value.amount, amount=given.amount + each.allowance
            )
    group = Group(
        group_no=GROUP_NO,
        account_name=issued.account_name,
        currency=issued.currency,
        terms=issued.terms,
        po_number=issued.po_number,
        credit_split=1,
        line_count=len(credits),
        credit_count=len(credits),
        service_from=min(each.of.realized.service_from for each in credits),
        service_to=max(each.of.realized.service_to for each in credits),
        tax_parts=tuple(sums[key] for key in sorted(sums)),
        newest_corrected=issued.invoice_id,
        allowances=tuple(allowances[key] for key in sorted(allowances)),
        option=issued.option,
    )
    return Document(group, "credit-note")


def check_date(issued: IssuedDocument, invoice_date: date) -> None:
    """Refuse a credit note that is dated before its invoice; a new series has no last date."""
    if invoice_date < issued.invoice_date:
        raise Refused(
            "date_before_invoice",
            f"credit date {invoice_date} is before {issued.invoice_date},"
            f" the date of {issued.invoice_number}",
            f"give a date from {issued.invoice_date} on, or none",
        )


def _credits_cannot_be_credited(issued: IssuedDocument, lines: Sequence[IssuedLine]) -> Refused:
    """Say which lines of the document are credits, and which others can be credited."""
    is_note = issued.document_type == "credit-note"
    credits = [line.line_no for line in lines if line.is_credit]
    others = [line.line_no for line in lines if line.remaining and not line.is_credit]
    what = f"{issued.invoice_number} is a credit note: " if is_note else ""
    of = "" if is_note else f" of {issued.invoice_number}"
    if others:
        can = f"; you can credit {_lines(others)}"
        fix = f"name lines that bill something: `--line {others[0]}`; "
    else:
        can, fix = "; none of its lines can be credited", ""
    many = len(credits) > 1
    return Refused(
        "is_credit_note" if is_note else "credit_line",
        f"{what}{_lines(credits)}{of} credit{'' if many else 's'} other invoices and cannot be"
        f" credited{can}",
        fix + _how_to_undo(issued),
        credit_lines=credits[:MOST_NAMED],
        lines=others[:MOST_NAMED],
    )


def _lines(numbers: Sequence[int]) -> str:
    return f"line{'' if len(numbers) == 1 else 's'} {listed(numbers)}"


def _how_to_undo(issued: IssuedDocument) -> str:
    return (
        "a credit to rebill is open: the next batch bills it; to bill a write-off again, run"
        " `backoffice credit NUMBER --reissue` for the invoice that it corrects, which opens all"
        f" of that invoice; see `backoffice invoices show {issued.invoice_number}`"
    )
