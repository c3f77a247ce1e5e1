"""Commands of arg_sync: connections to accounting systems, their mappings, and deliveries.

Secrets are never sent in plain text: the client seals them with arg_sync's public key
(`shared.sealing`), and only arg_sync opens them.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.events.commands.base import ArgSyncCommand
from shared.events.field_types import Code, Identifier, Message, Name, SealedBox, Text, Word, wrong

LedgerKind = Literal[
    "tryton",
    "xero",
    "quickbooks",
    "business-central",
    "netsuite",
    "sage-intacct",
    "webhook",
    "file-drop",
]
MAPPING_ROWS_AT_MOST = 5_000
OTHER_SOURCES = ("opening", "hand")
"""Where payments come from besides ledgers; see `invoicer.payment`."""


class ConnectLedger(ArgSyncCommand):
    """Create or change the connection of a billing company to an accounting system.

    `sealed_secrets`: passwords, keys and tokens, sealed for this connection, kind, address and
    account. All are required again when an address or account changes.
    """

    command: Literal["connect-ledger"] = "connect-ledger"
    ledger: Identifier
    kind: LedgerKind
    billing_company: Identifier
    settings: Annotated[dict[Word, Text], Field(max_length=100)] = Field(default_factory=dict)
    sealed_secrets: SealedBox = ""
    auto_sync: bool = False

    @model_validator(mode="after")
    def _named(self) -> "ConnectLedger":
        if self.ledger in OTHER_SOURCES:
            raise wrong(
                "reserved_name",
                f"{self.ledger!r} stands for payments of no ledger: take another name",
            )
        return self


class CheckLedger(ArgSyncCommand):
    """Ask the accounting system whether the connection works."""

    command: Literal["test-ledger"] = "test-ledger"
    ledger: Identifier


class PollLedger(ArgSyncCommand):
    """Read the payments of a connection now."""

    command: Literal["poll-ledger"] = "poll-ledger"
    ledger: Identifier


class DisconnectLedger(ArgSyncCommand):
    """End a connection: nothing more is sent; what was delivered stays on record."""

    command: Literal["disconnect-ledger"] = "disconnect-ledger"
    ledger: Identifier


class Mapped(Message):
    """The name of one of our codes in the accounting system. An empty `code` is the default."""

    what: Literal["account", "item", "term", "tax", "customer"]
    code: Name
    remote: Name


class RotateLedgerKey(ArgSyncCommand):
    """Replace the key with which secrets are sealed, and seal all stored secrets anew.

    What was sealed for the old key is accepted for seven more days.
    """

    command: Literal["rotate-ledger-key"] = "rotate-ledger-key"


class ImportMapping(ArgSyncCommand):
    """Set rows of a connection's mapping; rows that are not named stay."""

    command: Literal["import-mapping"] = "import-mapping"
    ledger: Identifier
    rows: Annotated[
        tuple[Mapped, ...], Field(strict=False, min_length=1, max_length=MAPPING_ROWS_AT_MOST)
    ]


class SyncBatch(ArgSyncCommand):
    """Deliver the documents of a batch that are not delivered yet.

    `unapplied`: its credit notes need not wait for invoices that are not in the ledger.
    """

    command: Literal["sync-batch"] = "sync-batch"
    billing_company: Identifier
    batch_id: Identifier
    unapplied: bool = False


class RetryDelivery(ArgSyncCommand):
    """Retry a refused delivery after its cause was fixed, or a waiting one now.

    `unapplied`: a credit note need not wait for invoices that are not in the ledger.
    """

    command: Literal["retry-delivery"] = "retry-delivery"
    ledger: Identifier
    invoice_number: Identifier
    unapplied: bool = False


class ResyncDelivery(ArgSyncCommand):
    """Look a document up in the accounting system again and deliver it if it is missing."""

    command: Literal["resync-delivery"] = "resync-delivery"
    ledger: Identifier
    invoice_number: Identifier


class AdoptDelivery(ArgSyncCommand):
    """Link a document of the accounting system, although it differs or someone else made it."""

    command: Literal["adopt-delivery"] = "adopt-delivery"
    ledger: Identifier
    invoice_number: Identifier
    remote_id: Identifier


class MarkPosted(ArgSyncCommand):
    """Record that a person entered the document in the accounting system by hand."""

    command: Literal["mark-posted"] = "mark-posted"
    ledger: Identifier
    invoice_number: Identifier
    remote_number: Code | None = None


class Reconcile(ArgSyncCommand):
    """Compare published events, our documents and the accounting system."""

    command: Literal["reconcile"] = "reconcile"
    ledger: Identifier
