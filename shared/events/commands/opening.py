"""Commands that load what another system billed before: opening data."""

from operator import not_
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.events.commands.base import InvoicerCommand
from shared.events.field_types import (
    Amount,
    CodeOrNone,
    Currency,
    Day,
    Identifier,
    Message,
    Name,
    Percent,
    Quantity,
    UnitPrice,
    Word,
    wrong,
)
from shared.money import ZERO
from shared.terms import DocumentKind, DocumentType, LineKind

LINES_AT_MOST = 5_000
MOST_DAYS = 999
"""The longest time between a document and its due date."""


class OpeningLine(Message):
    """A line of a document of the old system, with the number that it has there.

    `line_key` is the key that realizations of the source document have for it; without a document
    the line is a balance only. Amounts of credits are negative. `allowance` is the line's share of
    the discounts (negative) and surcharges of the document; tax is on the amount with it. A line
    that `corrects` a line of a loaded invoice takes its document, key, price and tax rate from it.
    What it takes off is billed again as long as the document is worth it, unless it was
    `written_off`.
    """

    line_no: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    document_kind: DocumentKind | None = None
    document_id: Identifier | None = None
    line_key: Annotated[str, Field(max_length=2_000)] = ""
    line_kind: LineKind = "product"
    quantity: Quantity
    unit: Annotated[str, Field(pattern="^[A-Z0-9]{1,3}$")] = "C62"
    unit_price: UnitPrice
    amount: Amount
    tax_code: CodeOrNone = ""
    tax_rate: Percent
    tax: Amount
    allowance: Annotated[Amount, Field(exclude_if=not_)] = ZERO
    service_from: Day
    service_to: Day
    week_ending: Day | None = None
    requirement_id: Word = ""
    worker_id: Word = ""
    time_type: Word = ""
    item_id: Word = ""
    project: Name = ""
    cost_center: Name = ""
    rate_version: Word = ""
    rate_book: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    description: Name
    corrects_invoice: Word = ""
    corrects_line: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    written_off: bool = False

    @model_validator(mode="after")
    def _whole(self) -> "OpeningLine":
        if len({self.document_kind is None, self.document_id is None, not self.line_key}) > 1:
            raise wrong("document_incomplete", "give document kind, document id and line key")
        if bool(self.corrects_invoice) != (self.corrects_line is not None):
            raise wrong("correction_incomplete", "give the corrected invoice and its line, or none")
        if self.written_off and not self.corrects_invoice:
            raise wrong("correction_incomplete", "what is written off corrects an invoice: name it")
        if self.service_from > self.service_to:
            raise wrong("period_backwards", "service_from is after service_to")
        return self


class OpeningDocument(Message):
    """An invoice or credit note of the old system: with the billed lines, or with a balance only.

    `paid` is what was paid of it until now; below zero for a credit note that was paid out.
    """

    invoice_number: Identifier
    document_type: DocumentType
    invoice_date: Day
    due_date: Day
    account_name: Name
    currency: Currency
    po_number: Name = ""
    paid: Amount
    lines: Annotated[
        tuple[OpeningLine, ...], Field(strict=False, min_length=1, max_length=LINES_AT_MOST)
    ]

    @model_validator(mode="after")
    def _numbered(self) -> "OpeningDocument":
        numbers = [line.line_no for line in self.lines]
        if len(set(numbers)) != len(numbers):
            raise wrong("line_given_twice", "two lines have one number: give each its own")
        if not 0 <= (self.due_date - self.invoice_date).days <= MOST_DAYS:
            raise wrong(
                "bad_due_date", f"the due date is not within {MOST_DAYS} days of the invoice date"
            )
        return self


class LoadOpeningDocuments(InvoicerCommand):
    """Load documents that the old system closed. They count as invoiced and are never delivered.

    A document that was loaded before stays as it is; only its paid part may have changed.
    """

    command: Literal["load-opening-documents"] = "load-opening-documents"
    billing_company: Identifier
    documents: Annotated[
        tuple[OpeningDocument, ...], Field(strict=False, min_length=1, max_length=LINES_AT_MOST)
    ]


class SetOpeningNumber(InvoicerCommand):
    """Set the last number that the old system used in a series: ours begin after it.

    `last_date` is the date of that document: later ones are not dated before it.
    """

    command: Literal["set-opening-number"] = "set-opening-number"
    billing_company: Identifier
    series_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9/_.-]{0,20}$")]
    last_number: Annotated[int, Field(strict=True, ge=1, le=10**17)]
    last_date: Day
