"""From a closed document to a document in the ledger's codes: mapping, signs, sums."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from services.arg_sync.connections.rules import Codes, code_for
from services.arg_sync.ledgers.documents import (
    ArDocument,
    CreditedInvoice,
    Customer,
    Line,
)
from shared.errors import Refused
from shared.money import ZERO
from shared.terms import ClosedDocument, ClosedLine, CorrectedInvoice


@dataclass(frozen=True, slots=True)
class SoldLine:
    """A closed line and the catalog item that it sells ("" for time)."""

    line: ClosedLine
    item_id: str


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
    lines: Sequence[SoldLine],
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
    mapped = tuple(_line(each, codes, sign, missing) for each in lines)
    if missing and maps_codes:
        raise Refused(
            "mapping_missing",
            f"{document.invoice_number}: no ledger code is mapped for {', '.join(sorted(missing))}",
            "import it with `backoffice ledger map import FILE.csv --ledger NAME`,"
            " then `backoffice deliveries retry`",
        )
    net = sum((line.amount for line in mapped), ZERO)
    if net != sign * document.net or document.net + document.tax != document.total:
        raise Refused(
            "sums_differ",
            f"{document.invoice_number}: its lines do not add up to its net,"
            " or net and tax not to its total; nothing was sent",
            "run `backoffice verify`",
        )
    return replace(without_lines(document, credited, codes), lines=mapped)


def _sign(document: ClosedDocument) -> int:
    """Ledgers want what the customer gets back on a credit note as a positive amount."""
    return -1 if document.document_type == "credit-note" else 1


def _line(sold: SoldLine, codes: Codes, sign: int, missing: set[str]) -> Line:
    line = sold.line
    kind = "time" if line.document_kind == "timesheet" else "product"
    candidates = (sold.item_id, line.time_type, kind)
    account = code_for(codes, "account", candidates)
    item = code_for(codes, "item", candidates)
    if not account and not item:
        missing.add(f"account {sold.item_id or line.time_type or kind}")
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
