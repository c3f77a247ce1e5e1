"""Which model travels on which topic: the source of the JSON Schemas and AsyncAPI documents."""

from typing import Any

from shared.events import ats, billing, commands, ledgers, realizations
from shared.events.field_types import Message


class DeadLetterRecorded(Message):
    """A service could not read a record: its position and the reason.

    The record's content stays in the service's table.
    """

    dead_letter_id: int
    service: str
    topic: str
    partition: int
    offset: int
    sha256: str
    code: str
    message: str


EVENT_MODELS: dict[str, Any] = {
    "requirement-changed": ats.RequirementChanged,
    "billto-changed": ats.BilltoChanged,
    "timesheet-approved": ats.TimesheetApproved,
    "placement-created": ats.PlacementCreated,
    "charge-added": ats.ChargeAdded,
    "engagement-changed": ats.EngagementChanged,
    "supplier-changed": ats.SupplierChanged,
    "operator-commands": commands.OperatorCommand,
    "command-results": billing.CommandResult,
    "pay-lines-realized": realizations.PayLinesRealized,
    "document-held": realizations.DocumentHeld,
    "document-released": realizations.DocumentReleased,
    "pay-line-due": realizations.PayLineDue,
    "batch-generated": billing.BatchGenerated,
    "invoice-closed": billing.InvoiceClosed,
    "ar-document-posted": ledgers.ArDocumentPosted,
    "ar-document-refused": ledgers.ArDocumentRefused,
    "payment-recorded": ledgers.PaymentRecorded,
    "ledger-drift-found": ledgers.LedgerDriftFound,
}
"""Topic (without prefix) → the type of its value."""

DEAD_LETTER = "dead-letter"
"""Schema name of all dead-letter topics (`<topic>.<service>.dead-letter`)."""
