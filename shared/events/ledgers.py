"""Messages of arg_sync: what accounting systems answered and paid, and where they differ."""

from datetime import date
from typing import Literal

from shared.events.field_types import Amount, Currency, Identifier, Message, MessageText
from shared.terms import DocumentType


class ArDocumentPosted(Message):
    """A document is posted in an accounting system, with the number that it has there.

    `how`: created by us, found there and adopted, or entered by a person and marked.
    """

    ledger: Identifier
    kind: str
    billing_company: Identifier
    invoice_id: int
    invoice_number: str
    document_type: DocumentType
    batch_id: str
    currency: Currency
    total: Amount
    remote_id: str
    remote_number: str
    how: Literal["created", "adopted", "marked"]
    warning: MessageText = ""


class ArDocumentRefused(Message):
    """A document cannot be delivered: a code, the accounting system's message, and the fix."""

    ledger: Identifier
    kind: str
    billing_company: Identifier
    invoice_id: int
    invoice_number: str
    document_type: DocumentType
    batch_id: str
    attempt: int
    code: str
    message: MessageText
    fix: MessageText


class PaymentRecorded(Message):
    """One entry of a payment that an accounting system booked against one of our documents.

    Entries of one payment are numbered and add up: a change is an entry of the difference, a
    reversal is negative. `cancelled`: nothing of the payment is left after this entry. `paid_on` is
    the date in the accounting system, however unusual.
    """

    ledger: Identifier
    billing_company: Identifier
    payment_id: str
    entry_no: int
    invoice_id: int
    invoice_number: str
    remote_id: str
    amount: Amount
    currency: Currency
    paid_on: date
    cancelled: bool = False


class LedgerDriftFound(Message):
    """Published events, our documents and the accounting system differ about a document.

    Nothing was changed; `fix` is a proposal.
    """

    ledger: Identifier
    billing_company: Identifier
    drift_id: int
    invoice_id: int | None = None
    invoice_number: str
    remote_id: str
    code: Literal[
        "missing",
        "deleted",
        "voided",
        "edited",
        "duplicated",
        "customer-changed",
        "not-received",
        "received-differently",
        "unknown-document",
        "not-applied",
    ]
    message: MessageText
    fix: MessageText
