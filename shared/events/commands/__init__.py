"""Commands of operators and schedules: one union on `operator-commands`, told apart by `command`.

Command id, actor and reason are in the body. The key on the topic is the billing company, or else
the name of the service that owns the command.
"""

from typing import Annotated

from pydantic import Field, TypeAdapter

from shared.events.commands.base import Command, ServiceName
from shared.events.commands.batches import (
    CreditedLine,
    CreditInvoice,
    GenerateBatch,
    HealthCheck,
    ListBatchGroups,
    PreviewBatch,
    RecordDownload,
    RetryParked,
    WhatIf,
)
from shared.events.commands.dead_letters import (
    DiscardDeadLetter,
    ReplayDeadLetter,
    Republish,
    ResumeConsumer,
    SkipRecords,
)
from shared.events.commands.ledgers import (
    AdoptDelivery,
    CheckLedger,
    ConnectLedger,
    DisconnectLedger,
    ImportMapping,
    Mapped,
    MarkPosted,
    Reconcile,
    ResyncDelivery,
    RetryDelivery,
    SyncBatch,
)
from shared.events.commands.lines import (
    EditPayLine,
    Explain,
    ReleasePayLines,
    RetryDocument,
    SnoozePayLines,
)
from shared.events.commands.rates import ConfirmRates, RatesImpact, SetBillRate
from shared.events.commands.settings import (
    Period,
    SetBillingCompany,
    SetCatalogItem,
    SetDebtorTerms,
    SetTimeGroup,
    TaxRateFrom,
)

AnyCommand = (
    SetBillingCompany
    | SetCatalogItem
    | SetBillRate
    | ConfirmRates
    | RatesImpact
    | RetryDocument
    | SnoozePayLines
    | ReleasePayLines
    | EditPayLine
    | SetTimeGroup
    | SetDebtorTerms
    | HealthCheck
    | ListBatchGroups
    | PreviewBatch
    | GenerateBatch
    | WhatIf
    | RetryParked
    | CreditInvoice
    | Explain
    | RecordDownload
    | ConnectLedger
    | CheckLedger
    | DisconnectLedger
    | ImportMapping
    | SyncBatch
    | RetryDelivery
    | ResyncDelivery
    | AdoptDelivery
    | MarkPosted
    | Reconcile
    | ReplayDeadLetter
    | DiscardDeadLetter
    | Republish
    | SkipRecords
    | ResumeConsumer
)
OperatorCommand = Annotated[AnyCommand, Field(discriminator="command")]
OPERATOR_COMMAND: TypeAdapter[AnyCommand] = TypeAdapter(OperatorCommand)

OWNERS: dict[str, ServiceName] = {
    "set-billing-company": "fee_realizer",
    "set-catalog-item": "fee_realizer",
    "set-bill-rate": "fee_realizer",
    "confirm-rates": "fee_realizer",
    "rates-impact": "fee_realizer",
    "retry-document": "fee_realizer",
    "snooze-pay-lines": "invoicer",
    "release-pay-lines": "invoicer",
    "edit-pay-line": "invoicer",
    "set-time-group": "invoicer",
    "set-debtor-terms": "invoicer",
    "health-check": "invoicer",
    "list-batch-groups": "invoicer",
    "preview-batch": "invoicer",
    "generate-batch": "invoicer",
    "what-if": "invoicer",
    "retry-parked": "invoicer",
    "credit-invoice": "invoicer",
    "explain": "invoicer",
    "record-download": "invoicer",
    "connect-ledger": "arg_sync",
    "test-ledger": "arg_sync",
    "disconnect-ledger": "arg_sync",
    "import-mapping": "arg_sync",
    "sync-batch": "arg_sync",
    "retry-delivery": "arg_sync",
    "resync-delivery": "arg_sync",
    "adopt-delivery": "arg_sync",
    "mark-posted": "arg_sync",
    "reconcile": "arg_sync",
}


def owner_of(command: AnyCommand) -> ServiceName:
    """Return the service that carries out a command: by its type, or as the command itself names
    it.
    """
    if isinstance(
        command,
        ReplayDeadLetter | DiscardDeadLetter | Republish | SkipRecords | ResumeConsumer,
    ):
        return command.service
    return OWNERS[command.command]


def key_of(command: AnyCommand) -> str:
    """Return the key on the topic: the billing company, or else the name of the owning service."""
    company = getattr(command, "billing_company", None)
    return company if isinstance(company, str) else owner_of(command)


__all__ = [
    "OPERATOR_COMMAND",
    "OWNERS",
    "AdoptDelivery",
    "AnyCommand",
    "CheckLedger",
    "Command",
    "ConfirmRates",
    "ConnectLedger",
    "CreditInvoice",
    "CreditedLine",
    "DiscardDeadLetter",
    "DisconnectLedger",
    "EditPayLine",
    "Explain",
    "GenerateBatch",
    "HealthCheck",
    "ImportMapping",
    "ListBatchGroups",
    "Mapped",
    "MarkPosted",
    "OperatorCommand",
    "Period",
    "PreviewBatch",
    "RatesImpact",
    "Reconcile",
    "RecordDownload",
    "ReleasePayLines",
    "ReplayDeadLetter",
    "Republish",
    "ResumeConsumer",
    "ResyncDelivery",
    "RetryDelivery",
    "RetryDocument",
    "RetryParked",
    "ServiceName",
    "SetBillRate",
    "SetBillingCompany",
    "SetCatalogItem",
    "SetDebtorTerms",
    "SetTimeGroup",
    "SkipRecords",
    "SnoozePayLines",
    "SyncBatch",
    "TaxRateFrom",
    "WhatIf",
    "key_of",
    "owner_of",
]
