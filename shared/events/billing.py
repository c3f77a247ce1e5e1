"""What the invoicer says: batches, closed documents, answers to commands."""

from typing import Annotated, Any, Literal

from pydantic import Field

from shared.events.field_types import Amount, Currency, Day, Identifier, Message, MessageText
from shared.terms import DocumentType


class TaxLine(Message):
    """Net and tax per code and rate (percent)."""

    code: str
    rate: str
    net: Amount
    tax: Amount


class CurrencyTotal(Message):
    """Totals of a batch in one currency; credits count negative."""

    currency: Currency
    documents: int
    lines: int
    net: Amount
    tax: Amount
    total: Amount


class InvoiceClosed(Message):
    """A document is closed and ready for delivery. Its lines are read from the view `invoicer.closed_invoice_line`."""

    invoice_id: int
    invoice_number: str
    document_type: DocumentType
    batch_id: str
    billing_company: Identifier
    account_name: str
    invoice_date: Day
    due_date: Day
    currency: Currency
    po_number: str
    net: Amount
    tax: Amount
    total: Amount
    tax_totals: Annotated[tuple[TaxLine, ...], Field(strict=False)]
    line_count: int
    content_hash: str


class BatchGenerated(Message):
    """A batch is closed: one or more documents made together."""

    batch_id: str
    billing_company: Identifier
    cut_off_date: Day
    invoice_date: Day
    first_number: str
    last_number: str
    documents: int
    totals: Annotated[tuple[CurrencyTotal, ...], Field(strict=False)]
    command_id: str


class Finding(Message):
    """What a health check found: severity, code, message, the ids it is about (at most 20), and what fixes it."""

    severity: Literal["error", "warning", "info"]
    code: str
    about: Literal["line", "debtor", "billing_company", "document", "batch"]
    message: str
    fix: str
    count: int = 1
    ids: Annotated[tuple[str, ...], Field(strict=False)] = ()


class CommandResult(Message):
    """The answer to a command: accepted with ids and totals, or refused with code, message and what to do. Where it would be longer than a
    message may be, the longest of its details are empty and `shortened` among them names those."""

    command_id: str
    command: str
    service: str
    outcome: Literal["accepted", "refused"]
    code: str = "ok"
    message: MessageText = ""
    fix: MessageText = ""
    details: dict[str, Any] = Field(default_factory=dict)
    findings: Annotated[tuple[Finding, ...], Field(strict=False, max_length=100)] = ()
