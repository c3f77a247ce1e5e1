"""What is asked of arg_sync: connections to accounting systems, their mappings, and deliveries.

Secrets never travel in the open: who writes the command seals them (`shared.sealing`), and only arg_sync opens them.
"""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.commands.base import Command
from shared.events.field_types import Code, Identifier, Message, Name, Text

LedgerKind = Literal["tryton", "xero", "quickbooks", "business-central", "netsuite"]
MAPPING_ROWS_AT_MOST = 5_000


class ConnectLedger(Command):
    """Makes or changes a connection of a billing company to an accounting system. `sealed_secrets`: passwords, keys and tokens, sealed."""

    command: Literal["connect-ledger"] = "connect-ledger"
    ledger: Identifier
    kind: LedgerKind
    billing_company: Identifier
    settings: dict[str, str] = Field(default_factory=dict)
    sealed_secrets: Text = ""
    auto_sync: bool = False


class CheckLedger(Command):
    """Asks the accounting system whether the connection works."""

    command: Literal["test-ledger"] = "test-ledger"
    ledger: Identifier


class DisconnectLedger(Command):
    """Ends a connection: nothing more is sent, what was delivered stays known."""

    command: Literal["disconnect-ledger"] = "disconnect-ledger"
    ledger: Identifier


class Mapped(Message):
    """What one of our codes is called in the accounting system. A default has an empty `code`."""

    what: Literal["account", "item", "term", "tax", "customer"]
    code: Name
    remote: Name


class ImportMapping(Command):
    """Sets rows of a connection's mapping; rows that are not named stay."""

    command: Literal["import-mapping"] = "import-mapping"
    ledger: Identifier
    rows: Annotated[
        tuple[Mapped, ...], Field(strict=False, min_length=1, max_length=MAPPING_ROWS_AT_MOST)
    ]


class SyncBatch(Command):
    """Delivers the documents of a batch that were not delivered yet."""

    command: Literal["sync-batch"] = "sync-batch"
    billing_company: Identifier
    batch_id: Identifier


class RetryDelivery(Command):
    """Tries a refused delivery again, after the fix."""

    command: Literal["retry-delivery"] = "retry-delivery"
    ledger: Identifier
    invoice_number: Identifier


class ResyncDelivery(Command):
    """Looks a document up in the accounting system again, and delivers it if it is not there."""

    command: Literal["resync-delivery"] = "resync-delivery"
    ledger: Identifier
    invoice_number: Identifier


class AdoptDelivery(Command):
    """Takes a document that stands in the accounting system for ours, though it differs or was made by somebody else."""

    command: Literal["adopt-delivery"] = "adopt-delivery"
    ledger: Identifier
    invoice_number: Identifier
    remote_id: Identifier


class MarkPosted(Command):
    """Says that a person entered the document in the accounting system."""

    command: Literal["mark-posted"] = "mark-posted"
    ledger: Identifier
    invoice_number: Identifier
    remote_number: Code | None = None


class Reconcile(Command):
    """Compares what was said, our documents, and what stands in the accounting system."""

    command: Literal["reconcile"] = "reconcile"
    ledger: Identifier
