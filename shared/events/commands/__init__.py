"""Commands of operators and schedules: one union on `operator-commands`, told apart by `command`.

Command id, actor and reason are in the body. The key on the topic is the billing company, or else
the name of the service that owns the command.
"""

from typing import Annotated, get_args

from pydantic import Field, TypeAdapter

from shared.events.commands.access import AddKey, DisableKey, RoleGrant, RotateKey, SetPerson
from shared.events.commands.approvals import ApproveDraft, ReassignDraft, RejectDraft
from shared.events.commands.assignments import (
    ConfirmAssignment,
    EndAssignment,
    SetAssignment,
)
from shared.events.commands.base import Role, ServiceCommand, ServiceName
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
from shared.events.commands.charges import AddCharge
from shared.events.commands.dead_letters import (
    DiscardDeadLetter,
    ForgetWorker,
    ReplayDeadLetter,
    Republish,
    ResumeConsumer,
    SkipRecords,
)
from shared.events.commands.disputes import OpenDispute, ResolveDispute
from shared.events.commands.drafts import (
    CancelDraft,
    CombineDrafts,
    CreateDrafts,
    DraftVersion,
    FinalizeDrafts,
    RegenerateDraft,
    RemoveDraftLine,
)
from shared.events.commands.fees import SetFee, SetFeeTiers, SetOpeningVolume
from shared.events.commands.ledgers import (
    AdoptDelivery,
    CheckLedger,
    ConnectLedger,
    DisconnectLedger,
    ImportMapping,
    Mapped,
    MarkPosted,
    PollLedger,
    Reconcile,
    ResyncDelivery,
    RetryDelivery,
    RotateLedgerKey,
    SyncBatch,
)
from shared.events.commands.lines import (
    EditPayLine,
    Explain,
    ReleasePayLines,
    RetryDocument,
    SnoozePayLines,
)
from shared.events.commands.mail import (
    Bounce,
    DecideMail,
    HoldReminders,
    RecordBounces,
    SendBatch,
    SendInvoice,
    SendReminder,
    SetMailAccount,
    SetReminders,
)
from shared.events.commands.opening import (
    LoadOpeningDocuments,
    OpeningDocument,
    OpeningLine,
    SetOpeningNumber,
)
from shared.events.commands.options import (
    ExplainOption,
    RecordSupplierNumber,
    SetCountryGrouping,
    SetInvoiceOption,
    SetSelfBillingAgreement,
)
from shared.events.commands.payments import (
    AppliedTo,
    ApplyCredit,
    ApplyPayment,
    RecordPayment,
    RecordRefund,
    ReversePayment,
    UnapplyPayment,
)
from shared.events.commands.rates import ConfirmRates, RatesImpact, SetBillRate
from shared.events.commands.retainers import SettleRetainer
from shared.events.commands.settings import (
    Period,
    SetBillingCompany,
    SetCatalogItem,
    SetDebtorTerms,
    SetTimeGroup,
    TaxRateFrom,
)
from shared.events.commands.workflows import SetWorkflow

AnyCommand = (
    SetBillingCompany
    | SetSelfBillingAgreement
    | SetCatalogItem
    | AddCharge
    | SetAssignment
    | EndAssignment
    | ConfirmAssignment
    | SettleRetainer
    | SetBillRate
    | ConfirmRates
    | RatesImpact
    | RetryDocument
    | SnoozePayLines
    | ReleasePayLines
    | EditPayLine
    | SetTimeGroup
    | SetDebtorTerms
    | SetInvoiceOption
    | SetCountryGrouping
    | SetFee
    | SetFeeTiers
    | SetOpeningVolume
    | SetWorkflow
    | RecordSupplierNumber
    | ApproveDraft
    | RejectDraft
    | ReassignDraft
    | HealthCheck
    | ListBatchGroups
    | PreviewBatch
    | GenerateBatch
    | WhatIf
    | RetryParked
    | CreateDrafts
    | RemoveDraftLine
    | CancelDraft
    | RegenerateDraft
    | CombineDrafts
    | FinalizeDrafts
    | CreditInvoice
    | LoadOpeningDocuments
    | SetOpeningNumber
    | RecordPayment
    | ApplyPayment
    | UnapplyPayment
    | ReversePayment
    | ApplyCredit
    | RecordRefund
    | OpenDispute
    | ResolveDispute
    | Explain
    | ExplainOption
    | RecordDownload
    | ConnectLedger
    | CheckLedger
    | PollLedger
    | DisconnectLedger
    | RotateLedgerKey
    | ImportMapping
    | SyncBatch
    | RetryDelivery
    | ResyncDelivery
    | AdoptDelivery
    | MarkPosted
    | Reconcile
    | SetMailAccount
    | SendBatch
    | SendInvoice
    | DecideMail
    | RecordBounces
    | SetReminders
    | HoldReminders
    | SendReminder
    | ReplayDeadLetter
    | DiscardDeadLetter
    | ForgetWorker
    | Republish
    | SkipRecords
    | ResumeConsumer
    | SetPerson
    | AddKey
    | RotateKey
    | DisableKey
)
OperatorCommand = Annotated[AnyCommand, Field(discriminator="command")]
OPERATOR_COMMAND: TypeAdapter[AnyCommand] = TypeAdapter(OperatorCommand)

OWNERS: dict[str, ServiceName] = {
    model.model_fields["command"].default: model.owner
    for model in get_args(AnyCommand)
    if not issubclass(model, ServiceCommand)
}
"""The owner of each command by its name; the others name their service themselves."""

FALLBACK_SERVICE: ServiceName = "invoicer"
"""Answers commands that cannot be parsed."""


def key_of(command: AnyCommand) -> str:
    """Return the key on the topic: the billing company, or else the name of the owning service."""
    company = getattr(command, "billing_company", None)
    return company if isinstance(company, str) else command.owner
