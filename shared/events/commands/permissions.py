"""Who may send which command: the one table that services, CLI, web console and docs use.

A role is limited to billing companies where its grant names some. A person or program may have
several roles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from shared.events import commands
from shared.events.commands.base import Role

ROLES: tuple[Role, ...] = get_args(Role)
_CLERK: tuple[Role, ...] = ("clerk", "manager")
_MANAGER: tuple[Role, ...] = ("manager",)
_ADMIN: tuple[Role, ...] = ("admin",)


@dataclass(frozen=True, slots=True)
class Permission:
    """The roles that may send a command, and the billing companies that it concerns.

    `companies`: `named` by the command itself; `looked-up` by its service, from the ids that it
    has; `all`: it is not about one company, so a grant must not be limited. `four_eyes`: who
    created or changed something may not send it about that.
    """

    roles: tuple[Role, ...]
    companies: Literal["named", "looked-up", "all"] = "named"
    four_eyes: bool = False


PERMISSIONS: Mapping[type[Any], Permission] = {
    # questions, which change nothing
    commands.Explain: Permission(ROLES, "looked-up"),
    commands.ExplainOption: Permission(ROLES, "looked-up"),
    commands.RatesImpact: Permission(ROLES, "looked-up"),
    commands.ListBatchGroups: Permission(ROLES),
    commands.WhatIf: Permission(ROLES),
    # open lines and documents
    commands.HealthCheck: Permission(_CLERK),
    commands.PreviewBatch: Permission(_CLERK),
    commands.SnoozePayLines: Permission(_CLERK),
    commands.ReleasePayLines: Permission(_CLERK),
    commands.EditPayLine: Permission(_CLERK),
    commands.RetryDocument: Permission(_CLERK, "looked-up"),
    commands.RecordDownload: Permission(_CLERK),
    commands.AddCharge: Permission(_CLERK, "looked-up"),
    # drafts
    commands.CreateDrafts: Permission(_CLERK),
    commands.RemoveDraftLine: Permission(_CLERK),
    commands.CancelDraft: Permission(_CLERK),
    commands.RegenerateDraft: Permission(_CLERK),
    commands.CombineDrafts: Permission(_CLERK),
    commands.FinalizeDrafts: Permission(_MANAGER),
    # money received; to pay it back takes a manager, as a credit does
    commands.RecordPayment: Permission(_CLERK),
    commands.ApplyPayment: Permission(_CLERK),
    commands.UnapplyPayment: Permission(_CLERK),
    commands.ReversePayment: Permission(_CLERK),
    commands.ApplyCredit: Permission(_CLERK),
    commands.RecordSupplierNumber: Permission(_CLERK),
    commands.RecordRefund: Permission(_MANAGER),
    commands.OpenDispute: Permission(_CLERK),
    commands.ResolveDispute: Permission(_MANAGER),
    # what decides about invoices, and invoices
    commands.SetCatalogItem: Permission(_MANAGER, "all"),
    commands.SetTimeGroup: Permission(_MANAGER, "all"),
    commands.SetDebtorTerms: Permission(_MANAGER),
    commands.SetInvoiceOption: Permission(_MANAGER),
    commands.SetCountryGrouping: Permission(_MANAGER),
    commands.SetFee: Permission(_MANAGER),
    commands.SetFeeTiers: Permission(_MANAGER),
    commands.SetOpeningVolume: Permission(_MANAGER),
    commands.SetWorkflow: Permission(_MANAGER, "all"),
    commands.SetAssignment: Permission(_MANAGER, "looked-up"),
    commands.EndAssignment: Permission(_MANAGER, "looked-up"),
    commands.ConfirmAssignment: Permission(_MANAGER, "looked-up"),
    commands.SetBillRate: Permission(_MANAGER, "looked-up"),
    commands.ConfirmRates: Permission(_MANAGER, "looked-up"),
    commands.SettleRetainer: Permission(_MANAGER, "looked-up"),
    commands.GenerateBatch: Permission(_MANAGER),
    commands.RetryParked: Permission(_MANAGER),
    commands.CreditInvoice: Permission(_MANAGER),
    commands.LoadOpeningDocuments: Permission(_MANAGER),
    commands.SetOpeningNumber: Permission(_MANAGER),
    # approval of drafts; which step an approval counts for, the workflow says
    commands.ApproveDraft: Permission(("approver",), "looked-up", four_eyes=True),
    commands.RejectDraft: Permission(("approver",), "looked-up"),
    commands.ReassignDraft: Permission(("approver",), "looked-up"),
    # delivery
    commands.SyncBatch: Permission(_MANAGER),
    commands.RetryDelivery: Permission(_MANAGER, "looked-up"),
    commands.ResyncDelivery: Permission(_MANAGER, "looked-up"),
    commands.AdoptDelivery: Permission(_MANAGER, "looked-up"),
    commands.MarkPosted: Permission(_MANAGER, "looked-up"),
    commands.SendBatch: Permission(_MANAGER),
    commands.SendInvoice: Permission(_MANAGER),
    commands.DecideMail: Permission(_MANAGER),
    commands.RecordBounces: Permission(_CLERK, "looked-up"),
    commands.SetReminders: Permission(_MANAGER),
    commands.HoldReminders: Permission(_CLERK),
    commands.SendReminder: Permission(_MANAGER),
    commands.PollLedger: Permission(_CLERK, "looked-up"),
    commands.Reconcile: Permission(("controller",), "looked-up"),
    # the system
    commands.SetBillingCompany: Permission(_ADMIN),
    commands.SetSelfBillingAgreement: Permission(_ADMIN),
    commands.ConnectLedger: Permission(_ADMIN),
    commands.SetMailAccount: Permission(_ADMIN),
    commands.CheckLedger: Permission(_ADMIN, "looked-up"),
    commands.DisconnectLedger: Permission(_ADMIN, "looked-up"),
    commands.ImportMapping: Permission(_ADMIN, "looked-up"),
    commands.RotateLedgerKey: Permission(_ADMIN, "all"),
    commands.ReplayDeadLetter: Permission(_ADMIN, "all"),
    commands.DiscardDeadLetter: Permission(_ADMIN, "all"),
    commands.ForgetWorker: Permission(_ADMIN, "all"),
    commands.Republish: Permission(_ADMIN, "all"),
    commands.SkipRecords: Permission(_ADMIN, "all"),
    commands.ResumeConsumer: Permission(_ADMIN, "all"),
    commands.SetPerson: Permission(_ADMIN, "all"),
    commands.AddKey: Permission(_ADMIN, "all"),
    commands.RotateKey: Permission(_ADMIN, "all"),
    commands.DisableKey: Permission(_ADMIN, "all"),
}


def permission_of(command: object) -> Permission:
    """Return the row of a command, or of its class."""
    return PERMISSIONS[command if isinstance(command, type) else type(command)]
