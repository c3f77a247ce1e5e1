"""What a column of a layout may hold: the fields of a row, of its document and of its line.

A row is a line of a document, one tax code and rate of it, or the document itself. Amounts have the
signs of `terms`; the layout says whether they are turned.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from shared.terms import ClosedDocument, ClosedLine, TaxTotal

FieldKind = Literal[
    "key", "text", "word", "date", "count", "number", "quantity", "amount", "document amount"
]
"""`key`: a text that another system looks up, so it is never changed. `text`: free text. `word`:
one of a few. `quantity` and `amount` have the sign of the row, `document amount` that of the
document.
"""
RowKind = Literal["line", "document", "tax"]
TYPES = ("invoice", "credit-note")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file: its document, its line if it is of one, and its taxes.

    `taxes` is the tax of the line, the tax code and rate of the row, or all of the document.
    `codes` are what a ledger connection maps, by field.
    """

    document: ClosedDocument
    line: ClosedLine | None
    taxes: tuple[TaxTotal, ...]
    codes: Mapping[str, str] = field(default_factory=dict)

    @property
    def total(self) -> Decimal:
        """What the row adds to the debt; negative if it lowers it."""
        return sum((each.net + each.tax for each in self.taxes), Decimal(0))

    def tax_of(self, part: int | None) -> TaxTotal | None:
        """Return the tax of a part, counted from 1; without one the sums. None if it has fewer."""
        if part is not None:
            return self.taxes[part - 1] if part <= len(self.taxes) else None
        if len(self.taxes) == 1:
            return self.taxes[0]
        net = sum((each.net for each in self.taxes), Decimal(0))
        tax = sum((each.tax for each in self.taxes), Decimal(0))
        return TaxTotal("", Decimal(0), net, tax)


Read = Callable[[Row], Any]
ReadTax = Callable[[TaxTotal], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its kind, the rows that have it, how it is read, and what it is for people.

    `words`: all values of a word. `of_tax` reads it from the tax of a row; such a field may name a
    part of a document. `delivered`: only a ledger connection knows it.
    """

    kind: FieldKind
    explanation: str
    read: Read | None = None
    of_tax: ReadTax | None = None
    rows: tuple[RowKind, ...] = ("line", "document", "tax")
    words: tuple[str, ...] = ()
    delivered: bool = False


def _of_document(kind: FieldKind, name: str, explanation: str) -> Field:
    return Field(kind, explanation, lambda row: getattr(row.document, name))


def _of_party(role: str, name: str, explanation: str) -> Field:
    return Field("text", explanation, lambda row: getattr(getattr(row.document, role), name))


def _of_line(kind: FieldKind, name: str, explanation: str) -> Field:
    return Field(kind, explanation, lambda row: getattr(row.line, name), rows=("line",))


def _of_requirement(name: str, explanation: str) -> Field:
    def read(row: Row) -> Any:
        assert row.line is not None
        return getattr(row.document.names.requirement(row.line.requirement_id), name)

    return Field("text", explanation, read, rows=("line",))


def _of_both(kind: FieldKind, name: str, explanation: str) -> Field:
    """A field of a line and of a document: in a row of a line it is that of the line."""
    return Field(kind, explanation, lambda row: getattr(row.line or row.document, name))


def _mapped(name: str, rows: tuple[RowKind, ...], explanation: str) -> Field:
    return Field("key", explanation, lambda row: row.codes[name], rows=rows, delivered=True)


def _worker_name(row: Row) -> str:
    assert row.line is not None
    return row.document.names.workers.get(row.line.worker_id, "")


def _row_type(row: Row) -> str:
    """Return the type by the sign of the row; of the document where the row is worth nothing."""
    return row.document.document_type if not row.total else TYPES[row.total < 0]


_ALL: tuple[RowKind, ...] = ("line", "document", "tax")
FIELDS: Mapping[str, Field] = {
    "row_net": Field("amount", "net of the row, after discounts", of_tax=lambda tax: tax.net),
    "row_tax": Field("amount", "tax of the row", of_tax=lambda tax: tax.tax),
    "row_total": Field("amount", "net and tax of the row", of_tax=lambda tax: tax.net + tax.tax),
    "row_type": Field(
        "word", "credit-note if the row lowers the debt, else invoice", _row_type, words=TYPES
    ),
    "tax_code": Field("key", "tax code", of_tax=lambda tax: tax.code),
    "tax_rate": Field("number", "tax rate in percent", of_tax=lambda tax: tax.rate),
    "invoice_number": _of_document("key", "invoice_number", "number of the document"),
    "document_type": Field(
        "word",
        "invoice or credit-note",
        lambda row: row.document.document_type,
        words=TYPES,
    ),
    "billing_company": _of_document("key", "billing_company", "id of the billing company"),
    "account_name": _of_document("key", "account_name", "the debtor's Account Name"),
    "invoice_date": _of_document("date", "invoice_date", "date of the document"),
    "due_date": _of_document("date", "due_date", "when it is due"),
    "cut_off_date": _of_document("date", "cut_off_date", "cut-off date of the batch"),
    "currency": _of_document("key", "currency", "currency of all amounts"),
    "net": _of_document("document amount", "net", "net of the document"),
    "tax": _of_document("document amount", "tax", "tax of the document"),
    "total": _of_document("document amount", "total", "total of the document"),
    "allowance": _of_document(
        "document amount", "allowance", "discounts and surcharges of the document"
    ),
    "line_count": _of_document("count", "line_count", "number of its lines"),
    "batch_id": _of_document("key", "batch_id", "id of the batch"),
    "invoice_id": _of_document("count", "invoice_id", "our number of the document"),
    "content_hash": _of_document("key", "content_hash", "seal of the document"),
    "payment_terms": _of_document("text", "payment_terms", "payment terms"),
    "tax_regime": _of_document("text", "tax_regime", "standard, exempt or reverse-charge"),
    "tax_wording": _of_document("text", "tax_wording", "what the law wants said about the tax"),
    "credit_reason": _of_document("text", "credit_reason", "an operator's reason of a credit"),
    "corrects": Field(
        "text",
        "numbers of the invoices that it corrects",
        lambda row: "; ".join(each.number for each in row.document.corrects),
    ),
    "seller_name": _of_party("seller", "name", "name of the billing company"),
    "seller_address": _of_party("seller", "address", "its address"),
    "seller_tax_id": _of_party("seller", "tax_id", "its tax id"),
    "buyer_name": _of_party("buyer", "name", "name of the debtor"),
    "buyer_address": _of_party("buyer", "address", "his address"),
    "buyer_tax_id": _of_party("buyer", "tax_id", "his tax id"),
    "po_number": _of_both("text", "po_number", "PO of the line, or of the document"),
    "service_from": _of_both("date", "service_from", "first day of the service"),
    "service_to": _of_both("date", "service_to", "last day of the service"),
    "line_no": _of_line("count", "line_no", "number of the line"),
    "description": _of_line("text", "description", "what was done or sold"),
    "document_kind": _of_line("text", "document_kind", "timesheet, placement, charge ..."),
    "document_id": _of_line("key", "document_id", "id of the timesheet, placement ..."),
    "pay_line_id": _of_line("count", "pay_line_id", "our number of the pay line"),
    "worker_id": _of_line("key", "worker_id", "id of the worker"),
    "worker_name": Field("text", "name of the worker", _worker_name, rows=("line",)),
    "requirement_id": _of_line("key", "requirement_id", "id of the requirement"),
    "requirement_reference": _of_requirement("reference", "reference of the requirement"),
    "job_title": _of_requirement("job_title", "its job title"),
    "client_contact": _of_requirement("client_contact", "the client's contact for it"),
    "client_reference": _of_requirement("client_reference", "the client's reference of it"),
    "week_ending": _of_line("date", "week_ending", "last day of the timesheet's week"),
    "time_type": _of_line("key", "time_type", "earn code of time; empty for products"),
    "item_id": _of_line("key", "item_id", "catalog item; empty for time"),
    "billto_node": _of_line("key", "billto_node", "id of the office, client or company billed"),
    "quantity": _of_line("quantity", "quantity", "hours, days or pieces"),
    "unit": _of_line("key", "unit", "HUR, DAY or C62 (UN/ECE)"),
    "unit_price": _of_line("number", "unit_price", "price of one"),
    "amount": _of_line("amount", "amount", "amount before discounts and surcharges"),
    "allowance_amount": _of_line("amount", "allowance_amount", "its share of them"),
    "tax_amount": _of_line("amount", "tax_amount", "tax of the line"),
    "project": _of_line("key", "project", "project"),
    "cost_center": _of_line("key", "cost_center", "cost center"),
    "corrects_invoice": _of_line("key", "corrects_invoice", "invoice that the line corrects"),
    "corrects_line": _of_line("count", "corrects_line", "and the number of its line"),
    "customer": _mapped("customer", _ALL, "mapped code of the customer, else the Account Name"),
    "terms": _mapped("terms", _ALL, "mapped code of the payment terms"),
    "mapped_account": _mapped("mapped_account", ("line",), "mapped account of the line"),
    "mapped_item": _mapped("mapped_item", ("line",), "mapped item of the line"),
    "mapped_tax": _mapped("mapped_tax", ("line",), "mapped tax code of the line"),
}
