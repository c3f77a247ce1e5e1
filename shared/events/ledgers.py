"""What arg_sync says: what the accounting systems answered, what they were paid, and where they differ from our books."""

from datetime import date
from typing import Literal

from shared.events.field_types import Amount, Currency, Identifier, Message, MessageText
from shared.terms import DocumentType


class ArDocumentPosted(Message):
    """A document stands posted in an accounting system, with the number that it has there. `how`: created by us, found there and adopted,
    or entered by a person who said so."""

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
    """A document does not go out by itself: a code, the accounting system's own message, and what fixes it."""

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
    """An entry of what an accounting system booked against one of our documents. Entries of one payment are numbered and add up: what changes
    it is the difference, and what takes it back is negative. `cancelled`: after this entry nothing of the payment is left. `paid_on` is the day that
    the accounting system has, however odd."""

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
    """What was said, our books and the accounting system do not agree about a document. Nothing was changed; `fix` is a proposal."""

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
        "event-differs",
        "unknown-document",
    ]
    message: MessageText
    fix: MessageText
