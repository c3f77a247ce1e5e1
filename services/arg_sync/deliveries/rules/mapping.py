"""From a closed document to a document in the ledger's codes: mapping, signs, sums.

Discounts and surcharges are lines of their own where `discount` or `surcharge` is mapped to an
account or item; else each line has its share of them. The sums are the same to the cent.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from services.arg_sync.connections.rules import Codes, code_for
from services.arg_sync.ledgers.documents import (
    ArDocument,
    CreditedInvoice,
    Customer,
    Line,
)
from shared.errors import Refused
from shared.money import ZERO, plain, rounded
from shared.terms import Allowance, ClosedDocument, ClosedLine, CorrectedInvoice


def without_lines(
    document: ClosedDocument, credited: Sequence[CreditedInvoice], codes: Codes
) -> ArDocument:
    """Return the document without lines: number, sums and the invoices that it credits.

    That is enough for a frozen request: the document is only looked up and applied.
    """
    sign = _sign(document)
    return ArDocument(
        number=document.invoice_number,
        kind=document.document_type,
        billing_company=document.billing_company,
        customer=Customer(
            document.account_name,
            document.buyer.name,
            document.buyer.address,
            document.buyer.tax_id,
            codes.get(("customer", document.account_name), ""),
            document.currency,
        ),
        invoice_date=document.invoice_date,
        due_date=document.due_date,
        currency=document.currency,
        po_number=document.po_number,
        terms=code_for(codes, "term", (document.payment_terms,)),
        tax=sign * document.tax,
        total=sign * document.total,
        corrects=tuple(credited),
        closed=replace(
            document,
            corrects=tuple(
                CorrectedInvoice(each.number, each.invoice_date)
                for each in credited
                if each.invoice_date is not None
            ),
        ),
    )


def to_ar_document(
    document: ClosedDocument,
    lines: Sequence[ClosedLine],
    codes: Codes,
    credited: Sequence[CreditedInvoice],
    *,
    maps_codes: bool = True,
) -> ArDocument:
    """Return the document in the ledger's codes.

    A refusal names every code that is not mapped, so that one import fixes all of them. Without
    `maps_codes` the ledger needs none, and a code that is not mapped is "".
    """
    sign = _sign(document)
    missing: set[str] = set()
    mapped = [_line(each, codes, sign, missing) for each in lines]
    if document.allowances and maps_codes and _have_codes(document.allowances, codes, sign):
        mapped = _with_own_lines(mapped, document, codes, sign, missing)
    elif document.allowances:
        mapped = [_less_its_share(line, sign) for line in mapped]
    if missing and maps_codes:
        raise Refused(
            "mapping_missing",
            f"{document.invoice_number}: no ledger code is mapped for {', '.join(sorted(missing))}",
            "import it with `backoffice ledger map import FILE.csv --ledger NAME`,"
            " then `backoffice deliveries retry`",
        )
    net = sum((line.amount for line in mapped), ZERO)
    tax = sum((line.tax_amount for line in mapped), ZERO)
    if (net, tax) != (
        sign * document.net,
        sign * document.tax,
    ) or document.net + document.tax != document.total:
        raise Refused(
            "sums_differ",
            f"{document.invoice_number}: its lines do not add up to its net or tax,"
            " or net and tax not to its total; nothing was sent",
            "run `backoffice verify`",
        )
    return replace(without_lines(document, credited, codes), lines=tuple(mapped))


def _allowance_code(codes: Codes, what: str, allowance: Allowance, sign: int) -> str:
    """Return the code for a discount or surcharge; the default of lines is none for it."""
    kind = "discount" if sign * allowance.amount < 0 else "surcharge"
    return codes.get((what, kind), "")


def _have_codes(allowances: Sequence[Allowance], codes: Codes, sign: int) -> bool:
    return all(
        any(_allowance_code(codes, what, each, sign) for what in ("account", "item"))
        for each in allowances
    )


def _less_its_share(line: Line, sign: int) -> Line:
    """Return a line after its share of the allowances, with its figures in the text."""
    if line.closed is None or not line.closed.allowance_amount:
        return line
    figures = f"{plain(line.quantity)} × {plain(line.unit_price)} = {plain(line.amount)}"
    return replace(
        line,
        description=f"{line.description} · {figures} before allowances",
        amount=line.amount + sign * line.closed.allowance_amount,
    )


def _with_own_lines(
    lines: Sequence[Line], document: ClosedDocument, codes: Codes, sign: int, missing: set[str]
) -> list[Line]:
    """Return the lines before allowances, and a line for each of these.

    A line is taxed on its amount; the last allowance of a tax code and rate takes the rest of the
    document's tax of that code and rate, so that the sum is the tax that was closed.
    """
    in_full = [
        replace(line, tax_amount=rounded(line.amount * line.tax_rate / 100, document.currency))
        if line.closed is not None and line.closed.allowance_amount
        else line
        for line in lines
    ]
    rest = {(each.code, each.rate): sign * each.tax for each in document.tax_totals}
    for line in in_full:
        rest[line.tax_code, line.tax_rate] -= line.tax_amount
    last = {(each.code, each.rate): at for at, each in enumerate(document.allowances)}
    own = []
    for at, each in enumerate(document.allowances):
        amount, key = sign * each.amount, (each.code, each.rate)
        in_proportion = rounded(amount * each.rate / 100, document.currency)
        tax = rest[key] if last[key] == at else in_proportion
        rest[key] -= tax
        percent = "" if each.percent is None else f" {plain(each.percent)} %"
        own.append(
            Line(
                line_no=len(in_full) + at + 1,
                description=f"{each.name}{percent} of {plain(sign * each.base)}",
                quantity=Decimal(-1 if amount < 0 else 1),
                unit_price=abs(amount),
                amount=amount,
                account=_allowance_code(codes, "account", each, sign),
                item=_allowance_code(codes, "item", each, sign),
                tax=_tax(codes, each.code, each.rate, missing),
                tax_code=each.code,
                tax_amount=tax,
                tax_rate=each.rate,
            )
        )
    return [*in_full, *own]


def _sign(document: ClosedDocument) -> int:
    """Ledgers want what the customer gets back on a credit note as a positive amount."""
    return -1 if document.document_type == "credit-note" else 1


def _line(line: ClosedLine, codes: Codes, sign: int, missing: set[str]) -> Line:
    kind = "time" if line.document_kind == "timesheet" else "product"
    candidates = (line.item_id, line.time_type, kind)
    account = code_for(codes, "account", candidates)
    item = code_for(codes, "item", candidates)
    if not account and not item:
        missing.add(f"account {line.item_id or line.time_type or kind}")
    return Line(
        line_no=line.line_no,
        description=line.description,
        quantity=sign * line.quantity,
        unit_price=line.unit_price,
        amount=sign * line.amount,
        account=account,
        item=item,
        tax=_tax(codes, line.tax_code, line.tax_rate, missing),
        tax_code=line.tax_code,
        tax_amount=sign * line.tax_amount,
        tax_rate=line.tax_rate,
        closed=line,
    )


def _tax(codes: Codes, tax_code: str, rate: Decimal, missing: set[str]) -> str:
    """Return the ledger's tax code. An untaxed line may have none; a taxed line has no default."""
    if ("tax", tax_code) in codes:
        return codes["tax", tax_code]
    if rate != 0 or tax_code:
        missing.add(f"tax {tax_code or f'{rate.normalize():f} %'}")
    return ""
