"""Which message travels on which topic, in flow order: the source of the committed JSON Schemas and AsyncAPI documents."""

from typing import Any

from shared.events import ats, billing, commands, ledgers
from shared.events import realizations as statements
from shared.events.field_types import Message


class DeadLetterRecorded(Message):
    """A service could not read a record: where it lies, and why. What stood in it stays in the service's table."""

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
    "operator-commands": commands.OperatorCommand,
    "command-results": billing.CommandResult,
    "pay-lines-realized": statements.PayLinesRealized,
    "document-held": statements.DocumentHeld,
    "document-released": statements.DocumentReleased,
    "pay-line-due": statements.PayLineDue,
    "batch-generated": billing.BatchGenerated,
    "invoice-closed": billing.InvoiceClosed,
    "ar-document-posted": ledgers.ArDocumentPosted,
    "ar-document-refused": ledgers.ArDocumentRefused,
    "payment-recorded": ledgers.PaymentRecorded,
    "ledger-drift-found": ledgers.LedgerDriftFound,
}
"""Topic (without prefix) → the type of its value."""

DEAD_LETTER = "dead-letter"
"""Name of the schema of all dead-letter topics (`<topic>.<service>.dead-letter`), whose value is a `DeadLetterRecorded`."""
