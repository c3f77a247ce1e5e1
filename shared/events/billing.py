"""Messages of the invoicer (batches and closed documents) and the results of commands."""

from typing import Annotated, Any, Literal

from pydantic import Field

from shared.events.field_types import (
    Amount,
    Currency,
    Day,
    Identifier,
    Message,
    MessageText,
    absent,
)
from shared.terms import DocumentType


class TaxLine(Message):
    """Net and tax per tax code and rate (percent)."""

    code: str
    rate: str
    net: Amount
    tax: Amount


class AllowanceLine(Message):
    """A discount or surcharge on the lines of one tax code and rate, before tax.

    `amount` is negative if it lowers the debt; `base` is what the lines were before it. Without
    `percent` it is a fixed amount, or what credits take back of the allowances of an invoice.
    """

    name: str
    code: str
    rate: str
    base: Amount
    percent: str | None = None
    amount: Amount


class DocumentOption(Message):
    """The invoice option of a document: its name, its party, and the values that it is grouped by.

    `group`: pairs of a grouping field and its value, in order; an absent value is empty.
    """

    name: str
    bill_to: Literal["client", "supplier"]
    group: Annotated[
        tuple[Annotated[tuple[str, str], Field(strict=False)], ...], Field(strict=False)
    ] = ()


class CurrencyTotal(Message):
    """Totals of a batch in one currency; credits count as negative."""

    currency: Currency
    documents: int
    lines: int
    net: Amount
    tax: Amount
    total: Amount


class InvoiceClosed(Message):
    """A closed document, ready for delivery.

    Its lines are read from the view `invoicer.closed_invoice_line`. They and the `allowances` add
    up to `net`; `tax_totals` has the net after allowances.
    """

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
    allowances: Annotated[
        tuple[AllowanceLine, ...] | None, Field(strict=False, exclude_if=absent)
    ] = None
    invoice_option: DocumentOption | None = Field(None, exclude_if=absent)
    line_count: int
    content_hash: str


class BatchGenerated(Message):
    """A closed batch: one or more documents made together."""

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
    """One finding of a health check: severity, code, message, fix and at most 20 ids."""

    severity: Literal["error", "warning", "info"]
    code: str
    about: Literal["line", "debtor", "billing_company", "document", "batch"]
    message: str
    fix: str
    count: int = 1
    ids: Annotated[tuple[str, ...], Field(strict=False)] = ()


class CommandResult(Message):
    """The result of a command: accepted with ids and totals, or refused with code, message and fix.

    A result that would exceed the message limit loses its longest details, and `shortened` names
    them.
    """

    command_id: str
    command: str
    service: str
    outcome: Literal["accepted", "refused"]
    code: str = "ok"
    message: MessageText = ""
    fix: MessageText = ""
    details: dict[str, Any] = Field(default_factory=dict)
    findings: Annotated[tuple[Finding, ...], Field(strict=False, max_length=100)] = ()
