"""What may be loaded as opening data, and how it looks as documents and lines of ours.

A document of the old system becomes a closed document of the series `OPENING_SERIES`, under its old
number. Its lines are invoiced lines of their source documents, so settlement, credits, balances and
ageing treat them as any other. It is never published or delivered. A source document of which
nothing was realized yet is withheld with realization 0: what is invoiced of it stays until the
first realization arrives.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.invoices.rules.documents import Document, Group
from services.invoicer.invoices.rules.numbers import OPENING_SERIES, Series
from services.invoicer.invoices.rules.totals import AllowancePart, TaxPart, allowances_of
from services.invoicer.lines.rules import DocKey, NewLine, value_of
from services.invoicer.opening.rules.corrections import FIX, Corrected, corrected_by
from services.invoicer.settlement.rules.snoozes import snooze_group
from shared.errors import Refused
from shared.events.commands import OpeningDocument, OpeningLine
from shared.events.realizations import RealizationLine
from shared.money import ZERO, plain, rounded

NOT_REALIZED = 0
"""The realization number of a source document of which only opening data is known."""
ALLOWANCE = "discounts and surcharges"
"""Names the allowances of a loaded document: the old names are not known."""


class Loaded(NamedTuple):
    """A document with this number that exists: its id, series and digest, and what is paid."""

    invoice_id: int
    series: str
    digest: str
    paid: Decimal
    entries: int


class OpeningPayment(NamedTuple):
    """What was paid of a loaded document: the number of the entry, its amount and its date."""

    invoice_id: int
    entry_no: int
    amount: Decimal
    currency: str
    paid_on: date


class DebtorNode(NamedTuple):
    """The node of the billto hierarchy that has an Account Name."""

    node_id: str
    level: int


class PreparedLine(NamedTuple):
    """A line to close: its source document, the pay line, its tax, its debtor node, and its share
    of allowances.
    """

    document: DocKey
    line_no: int
    new: NewLine
    tax_code: str
    tax_rate: Decimal
    tax: Decimal
    node: DebtorNode
    corrects_invoice: str | None
    written_off: bool = False
    allowance: Decimal = ZERO


class PreparedDocument(NamedTuple):
    """A document to close, with its lines in the order of their numbers."""

    opening: OpeningDocument
    document: Document
    lines: Sequence[PreparedLine]


def digest_of(document: OpeningDocument) -> str:
    """Return the hash of what a document bills. What is paid, and the rate book, may change."""
    lines = [line.model_copy(update={"rate_book": 0}) for line in document.lines]
    fixed = document.model_copy(update={"lines": tuple(lines), "paid": ZERO})
    return hashlib.sha256(fixed.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:32]


def new_documents(
    documents: Sequence[OpeningDocument], loaded: Mapping[str, Loaded], today: date
) -> list[OpeningDocument]:
    """Return the documents that were not loaded before.

    Raises `Refused` for a number that is in use or was loaded with other content, and for a
    document that cannot be.
    """
    seen: set[str] = set()
    new: list[OpeningDocument] = []
    for each in documents:
        number, known = each.invoice_number, loaded.get(each.invoice_number)
        if number in seen:
            raise Refused("number_used", f"{number} is in the command twice", FIX)
        seen.add(number)
        _check_decimals(number, each.currency, paid=each.paid)
        if known is None:
            _check(each, today)
            new.append(each)
        elif known.series != OPENING_SERIES:
            raise Refused(
                "number_used",
                f"{number} is a document of this system and cannot be loaded",
                "leave it out",
            )
        elif known.digest != digest_of(each):
            raise Refused(
                "loaded_differently",
                f"{number} was loaded before with other content, and a closed document never"
                " changes",
                "import it as it was, and correct it with a credit",
            )
    return new


def _check(document: OpeningDocument, today: date) -> None:
    number = document.invoice_number
    if not document.account_name:
        raise Refused("no_account_name", f"{number} names no debtor", FIX)
    if document.invoice_date > today:
        raise Refused(
            "date_in_future",
            f"{number} is dated {document.invoice_date}, after today, {today}",
            FIX,
        )
    total = sum((line.amount + line.allowance + line.tax for line in document.lines), ZERO)
    wrong_sign = total < 0 if document.document_type == "invoice" else total > 0
    if wrong_sign:
        raise Refused(
            "wrong_sign",
            f"{number} is {_a(document)} of {plain(total)} {document.currency}",
            "amounts of an invoice are positive, those of a credit note negative",
        )
    for line in document.lines:
        _check_line(number, document.currency, line)


def _check_line(number: str, currency: str, line: OpeningLine) -> None:
    where = f"line {line.line_no} of {number}"
    _check_decimals(where, currency, amount=line.amount, tax=line.tax, allowance=line.allowance)
    if abs(line.allowance) > abs(line.amount):
        raise Refused(
            "allowance_above_amount",
            f"{where}: allowance {plain(line.allowance)} is more than its amount,"
            f" {plain(line.amount)}",
            FIX,
        )
    if line.line_key:
        try:
            snooze_group(line.line_key)
        except (ValueError, TypeError):
            raise Refused("bad_line_key", f"{where}: {line.line_key} is no line key", FIX) from None


def _check_decimals(where: str, currency: str, **amounts: Decimal) -> None:
    for name, value in amounts.items():
        if value != rounded(value, currency):
            raise Refused(
                "too_many_decimals",
                f"{where}: {name} {plain(value)} is no amount of {currency}",
                FIX,
            )


def _a(document: OpeningDocument) -> str:
    return "an invoice" if document.document_type == "invoice" else "a credit note"


def check_debtors(documents: Sequence[OpeningDocument], nodes: Mapping[str, DebtorNode]) -> None:
    """Refuse Account Names that no node of the billto hierarchy has."""
    unknown = sorted({each.account_name for each in documents} - nodes.keys())
    if unknown:
        raise Refused(
            "unknown_account_name",
            f"no node of the billto hierarchy has the Account Name {unknown[0]!r}"
            + (f", nor {len(unknown) - 1:,} others" if len(unknown) > 1 else ""),
            "import billto.csv first, with a node for each debtor that owes something",
            account_names=unknown[:20],
        )


def prepare(
    document: OpeningDocument,
    group_no: int,
    billing_company: str,
    node: DebtorNode,
    terms: DocumentTerms,
    corrected: Mapping[str, Corrected],
) -> PreparedDocument:
    """Return a document of the old system as one of ours. Raises `Refused`."""
    days = (document.due_date - document.invoice_date).days
    payment_terms = f"net:{days}" if days else "on-receipt"
    digest = digest_of(document)
    lines: list[PreparedLine] = []
    for line in sorted(document.lines, key=lambda each: each.line_no):
        if line.corrects_invoice:
            of = corrected_by(document, line, corrected)
            terms = of.issued.terms
            lines.append(_credit(document, line, of, digest))
        else:
            lines.append(_billed(document, line, billing_company, node, digest))
    parts: dict[tuple[str, Decimal], TaxPart] = {}
    for each in lines:
        key = (each.tax_code, each.tax_rate)
        part = parts.get(key, TaxPart(*key, ZERO, ZERO))
        amount = each.new.realized.amount + each.allowance
        parts[key] = part._replace(net=part.net + amount, tax=part.tax + each.tax)
    group = Group(
        group_no=group_no,
        account_name=document.account_name,
        currency=document.currency,
        terms=terms._replace(payment_terms=payment_terms),
        po_number=document.po_number,
        credit_split=0,
        line_count=len(lines),
        credit_count=sum(each.corrects_invoice is not None for each in lines),
        service_from=min(each.new.realized.service_from for each in lines),
        service_to=max(each.new.realized.service_to for each in lines),
        tax_parts=tuple(parts[key] for key in sorted(parts)),
        allowances=_allowances(lines),
    )
    return PreparedDocument(document, Document(group, document.document_type), lines)


def _allowances(lines: Sequence[PreparedLine]) -> tuple[AllowancePart, ...]:
    """Return the allowances of a document: what its own lines have, and what credits give back."""
    found: dict[tuple[str, str, Decimal], AllowancePart] = {}
    for each in lines:
        if each.allowance:
            name = allowances_of(each.corrects_invoice) if each.corrects_invoice else ALLOWANCE
            key = (name, each.tax_code, each.tax_rate)
            part = found.get(key, AllowancePart(*key, ZERO, None, ZERO))
            found[key] = part._replace(
                base=part.base + each.new.realized.amount, amount=part.amount + each.allowance
            )
    return tuple(found[key] for key in sorted(found))


def _billed(
    document: OpeningDocument,
    line: OpeningLine,
    billing_company: str,
    node: DebtorNode,
    digest: str,
) -> PreparedLine:
    """A line of a source document, or a balance, which is a charge of its own."""
    balance = f"opening:{billing_company}:{document.invoice_number}:{line.line_no}"
    source: DocKey = (line.document_kind or "charge", line.document_id or balance)
    realized = RealizationLine(
        line_key=line.line_key or '["p","opening","",1]',
        line_kind=line.line_kind,
        billing_company=billing_company,
        billto_node=node.node_id,
        currency=document.currency,
        quantity=line.quantity,
        unit=line.unit,
        unit_price=line.unit_price,
        amount=line.amount,
        effective_date=line.week_ending or line.service_to,
        service_from=line.service_from,
        service_to=line.service_to,
        week_ending=line.week_ending,
        requirement_id=line.requirement_id,
        worker_id=line.worker_id,
        time_type=line.time_type,
        item_id=line.item_id,
        project=line.project,
        cost_center=line.cost_center,
        po_number=document.po_number,
        tax_code=line.tax_code,
        rate_version=line.rate_version,
        rate_book=line.rate_book,
        description=line.description,
        derivation=_derivation(document, line, digest),
    )
    return PreparedLine(
        source,
        line.line_no,
        NewLine(realized),
        line.tax_code,
        line.tax_rate,
        line.tax,
        node,
        None,
        allowance=line.allowance,
    )


def _derivation(document: OpeningDocument, line: OpeningLine, digest: str) -> dict[str, object]:
    return {
        "rule": "billed by the system before this one; loaded as opening data",
        "formula": f"{plain(line.quantity)} × {plain(line.unit_price)} = {plain(line.amount)}",
        "opening": {
            "invoice": document.invoice_number,
            "line": str(line.line_no),
            "digest": digest,
        },
    }


def _credit(
    document: OpeningDocument, line: OpeningLine, of: Corrected, digest: str
) -> PreparedLine:
    assert line.corrects_line is not None
    original = of.lines[line.corrects_line]
    realized = original.realized.model_copy(
        update={
            "quantity": line.quantity,
            "amount": line.amount,
            "derivation": _derivation(document, line, digest)
            | ({"credit": {"to": "write-off"}} if line.written_off else {}),
        }
    )
    return PreparedLine(
        original.document,
        line.line_no,
        NewLine(realized, (of.issued.invoice_id, line.corrects_line), correction=True),
        line.tax_code,
        line.tax_rate,
        line.tax,
        DebtorNode(original.node, original.level),
        line.corrects_invoice,
        line.written_off,
        line.allowance,
    )


def after_corrections(of: Corrected, lines: Sequence[PreparedLine]) -> Corrected:
    """Return a loaded invoice with what these lines take off it, for the documents after them."""
    left = dict(of.lines)
    for each in lines:
        if each.new.corrects is not None and each.new.corrects[0] == of.issued.invoice_id:
            before = left[each.new.corrects[1]]
            left[each.new.corrects[1]] = before._replace(
                credited=before.credited + value_of(each.new.realized),
                tax_credited=before.tax_credited + each.tax,
                allowance_credited=before.allowance_credited + each.allowance,
            )
    return of._replace(lines=left)


def last_date(series: Series, documents: Sequence[OpeningDocument]) -> date:
    """Return the newest date of the series after these documents."""
    dates = [each.invoice_date for each in documents]
    return max([*dates, series.last_date] if series.last_date is not None else dates)
