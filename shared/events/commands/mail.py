"""Commands about documents by e-mail: the mail account of a billing company, and sending.

The password is never sent in plain text: the client seals it with arg_sync's public key for this
billing company, server and login (`shared.sealing`), and only arg_sync opens it.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.events.commands.base import ArgSyncCommand
from shared.events.field_types import (
    Day,
    DecimalString,
    EmailAddress,
    EmailOrNone,
    Identifier,
    MailSubject,
    MailText,
    Message,
    Name,
    ReminderSubject,
    ReminderText,
    SealedBox,
    Text,
    Word,
    wrong,
)
from shared.reminders import STAGES_AT_MOST

DEFAULT_TLS = "starttls"
PORTS = {"starttls": "587", "tls": "465", "none": "25"}
"""The usual port of each way to encrypt the connection."""
BOUNCES_AT_MOST = 1_000


class SetMailAccount(ArgSyncCommand):
    """Create or change how a billing company sends e-mails; fields that are left out stay.

    `tls`: starttls (usually port 587), tls (465), or none (only for a server that arg_sync's
    operator names, and without a login). `sealed_password` is required again when server, port,
    TLS or user changes. Every change lets one login through that was refused before.
    """

    command: Literal["set-mail-account"] = "set-mail-account"
    billing_company: Identifier
    sender: EmailAddress | None = None
    sender_name: Name | None = None
    reply_to: EmailOrNone | None = None
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")] | None = None
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    tls: Literal["starttls", "tls", "none"] | None = None
    user: Name | None = None
    sealed_password: SealedBox = ""
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] | None = None
    subject: MailSubject | None = None
    text: MailText | None = None


def with_defaults(before: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of an account after a change, with TLS and port.

    The port is the usual one for the TLS, unless another one was given with or after it.
    """
    settings = {**before, **given}
    tls = settings.get("tls") or DEFAULT_TLS
    changed = "tls" in given and "port" not in given
    port = PORTS[tls] if changed else settings.get("port") or PORTS[tls]
    return {**settings, "tls": tls, "port": port}


class SendBatch(ArgSyncCommand):
    """Send the documents of a batch to the e-mail addresses of their debtors.

    Sent are those that were not sent yet, and again those that were refused before the mail server
    accepted them.
    """

    command: Literal["send-batch"] = "send-batch"
    billing_company: Identifier
    batch_id: Identifier


class SendInvoice(ArgSyncCommand):
    """Send one document; with `again` also to an address that has it."""

    command: Literal["send-invoice"] = "send-invoice"
    billing_company: Identifier
    invoice_number: Identifier
    again: bool = False


class DecideMail(ArgSyncCommand):
    """Decide about an e-mail of unknown outcome: it was sent, or it is sent again."""

    command: Literal["decide-mail"] = "decide-mail"
    billing_company: Identifier
    invoice_number: Identifier
    address: EmailAddress
    sent: bool


class Bounce(Message):
    """An e-mail that a mail server could not deliver, as its report says (RFC 3464)."""

    message_id: Identifier
    status: Word
    text: Text


class RecordBounces(ArgSyncCommand):
    """Record e-mails that came back; their message ids say which ones they are."""

    command: Literal["record-bounces"] = "record-bounces"
    bounces: Annotated[
        tuple[Bounce, ...], Field(strict=False, min_length=1, max_length=BOUNCES_AT_MOST)
    ]


StageDays = Annotated[int, Field(strict=True, ge=1, le=999)]
"""Days after the due date."""


class ReminderTemplate(Message):
    """Subject and text of the reminders of a stage; what is left out stays, empty is the default.

    A debtor's default is the company's template of the same stage.
    """

    stage: StageDays
    subject: ReminderSubject | None = None
    text: ReminderText | None = None


class SetReminders(ArgSyncCommand):
    """Set who is reminded of overdue invoices by e-mail; fields that are left out stay.

    Without `account_name` for the billing company, whose settings hold for each debtor that has
    none of its own. `stages`: all stages, as days after the due date. Invoices of which less than
    `minimum` is open, in their currency, are not reminded. `as_company` removes what a debtor has
    of its own.
    """

    command: Literal["set-reminders"] = "set-reminders"
    billing_company: Identifier
    account_name: Name = ""
    enabled: bool | None = None
    stages: (
        Annotated[
            tuple[StageDays, ...], Field(strict=False, min_length=1, max_length=STAGES_AT_MOST)
        ]
        | None
    ) = None
    templates: Annotated[
        tuple[ReminderTemplate, ...], Field(strict=False, max_length=STAGES_AT_MOST)
    ] = ()
    minimum: Annotated[Decimal, DecimalString(places=4, digits=12, ge="0")] | None = None
    as_company: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> "SetReminders":
        given = (
            self.enabled is not None or self.stages or self.templates or self.minimum is not None
        )
        if self.as_company and (given or not self.account_name):
            raise wrong("as_company_alone", "as_company needs account_name and nothing else")
        if not self.as_company and not given:
            raise wrong("nothing_given", "give enabled, stages, templates or minimum")
        if self.stages and len(set(self.stages)) < len(self.stages):
            raise wrong("stage_twice", "names a stage twice: give each once")
        return self


class HoldReminders(ArgSyncCommand):
    """Remind of an invoice no more, until the day before `until` or for good; or `release` it."""

    command: Literal["hold-reminders"] = "hold-reminders"
    billing_company: Identifier
    invoice_number: Identifier
    until: Day | None = None
    release: bool = False


class SendReminder(ArgSyncCommand):
    """Send a reminder that was refused; with `again` also to an address that has it."""

    command: Literal["send-reminder"] = "send-reminder"
    billing_company: Identifier
    reminder: Identifier
    again: bool = False
