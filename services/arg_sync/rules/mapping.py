"""From a closed document in our words to a document in the ledger's codes: mappings, signs, sums. Values in, values out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.arg_sync.rules.documents import ArDocument, Corrected, Customer, Line, TaxPart
from shared.errors import Refused
from shared.money import ZERO
from shared.terms import ClosedDocument, ClosedLine

Codes = Mapping[tuple[str, str], str]
"""(what, our code) → the ledger's code; an empty code is the default."""


@dataclass(frozen=True, slots=True)
class SoldLine:
    """A closed line, with what it sells: the catalog item ("" for time)."""

    line: ClosedLine
    item_id: str


def code_for(codes: Codes, what: str, candidates: Iterable[str]) -> str:
    """The ledger's code for the first of our codes that is mapped, else the default; "" if there is neither."""
    for code in candidates:
        if code and (what, code) in codes:
            return codes[what, code]
    return codes.get((what, ""), "")


def in_ledger_words(
    document: ClosedDocument, lines: Sequence[SoldLine], codes: Codes, corrects: Sequence[Corrected]
) -> ArDocument:
    """The document for a ledger. Refused with everything that is not mapped, so that one import fixes all of it."""
    sign = -1 if document.document_type == "credit-note" else 1
    missing: set[str] = set()
    made = tuple(_line(each, codes, sign, missing) for each in lines)
    taxes = tuple(
        TaxPart(
            part.code,
            _tax(codes, part.code, part.rate, missing),
            part.rate,
            sign * part.net,
            sign * part.tax,
        )
        for part in document.tax_totals
    )
    if missing:
        raise Refused(
            "mapping_missing",
            f"{document.invoice_number}: the ledger's code is not known for {', '.join(sorted(missing))}",
            "give it with `backoffice ledger map import FILE.csv --ledger NAME`, then `backoffice deliveries retry`",
        )
    if (
        sum((line.amount for line in made), ZERO) != sign * document.net
        or document.net + document.tax != document.total
    ):
        raise Refused(
            "sums_differ",
            f"{document.invoice_number}: its lines do not add up to its net, or net and tax not to its total: nothing was sent",
            "run `backoffice verify`",
        )
    return ArDocument(
        invoice_id=document.invoice_id,
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
        net=sign * document.net,
        tax=sign * document.tax,
        total=sign * document.total,
        lines=made,
        taxes=taxes,
        corrects=tuple(corrects),
    )


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
        unit=line.unit,
        unit_price=line.unit_price,
        amount=sign * line.amount,
        account=account,
        item=item,
        tax=_tax(codes, line.tax_code, line.tax_rate, missing),
        tax_code=line.tax_code,
        tax_amount=sign * line.tax_amount,
    )


def _tax(codes: Codes, tax_code: str, rate: Decimal, missing: set[str]) -> str:
    """The ledger's tax. Untaxed lines may go without one; a taxed line never gets the default by mistake."""
    if ("tax", tax_code) in codes:
        return codes["tax", tax_code]
    if rate != 0 or tax_code:
        missing.add(f"tax {tax_code or plain_rate(rate)}")
    return ""


def plain_rate(rate: Decimal) -> str:
    """A rate for people."""
    return f"{rate.normalize():f} %"
