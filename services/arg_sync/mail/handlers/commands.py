"""Commands about e-mails: the account, sending a batch or a document, decisions, bounces.

No command talks to a mail server: the loop of the workers does that, outside of transactions.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import secrets
from services.arg_sync.connections.store.connections import company_setting
from services.arg_sync.deliveries.store.documents import documents_for
from services.arg_sync.mail.handlers.smtp import is_own_host
from services.arg_sync.mail.rules import subject_and_text
from services.arg_sync.mail.store import accounts, mails
from services.arg_sync.mail.store.accounts import MailAccount
from services.arg_sync.mail.store.mails import Recipients
from shared import sealing
from shared.clock import today_of
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import (
    DecideMail,
    RecordBounces,
    SendBatch,
    SendInvoice,
    SetMailAccount,
)
from shared.events.commands.mail import with_defaults
from shared.terms import ClosedDocument, buyer_of, counted, is_agreement, listed

SETTINGS = (
    "sender",
    "sender_name",
    "reply_to",
    "host",
    "port",
    "tls",
    "user",
    "country",
    "subject",
    "text",
)
NEEDED = ("sender", "host")
AT_ONCE = 500
SHOWN = 20
BOUNCED_FIX = (
    "correct the address with `backoffice debtor-terms set`, then `backoffice send invoice NUMBER`"
    " (`backoffice reminders send NUMBER`); to the same address with --again"
)


async def on_set_account(connection: AsyncConnection, command: SetMailAccount) -> Answer:
    """Add or change the mail account of a billing company.

    A password that is not given stays, unless it would go to another server or belong to another
    user: no stored secret is sent to an address that was not given together with it.
    """
    company = command.billing_company
    known = await accounts.account_for(connection, company)
    before = dict(known.settings) if known else {}
    given = {name: str(value) for name in SETTINGS if (value := getattr(command, name)) is not None}
    settings = with_defaults(before, given)
    _require_settings(company, settings)
    name = sealing.mail_name(company)
    bound_to = sealing.mail_binding(company, settings)
    stored = await secrets.sealed_for(connection, name)
    moved = sealing.mail_binding(company, before) != bound_to
    if command.sealed_password:
        _require_password(command, bound_to)
        await secrets.put_sealed(connection, name, command.sealed_password)
    elif settings.get("user") and (stored is None or moved):
        raise Refused(
            "secrets_needed",
            f"the password of {settings['user']} at {settings['host']} is needed: one that was"
            " given before was for another server, port, TLS or user",
            "add --password-file FILE",
        )
    elif stored is not None and not settings.get("user"):
        await secrets.drop_sealed(connection, name)
    await secrets.allow_login(connection, name)
    await accounts.put_account(connection, company, settings, command.actor)
    return Answer(
        f"{company} sends e-mails as {settings['sender']} over {settings['host']}:"
        f"{settings['port']} ({settings['tls']})",
        details={"billing_company": company, "settings": settings},
        before=None if known is None else {"settings": before, "state": known.state},
        after={"settings": settings, "state": "ready"},
        subjects=[company],
    )


def _require_settings(company: str, settings: Mapping[str, str]) -> None:
    if missing := [f"--{name}" for name in NEEDED if not settings.get(name)]:
        raise Refused(
            "setting_missing",
            f"the mail account of {company} needs {' and '.join(missing)}",
            "add it to `backoffice send set-account`",
        )
    if settings["tls"] == "none" and settings.get("user"):
        raise Refused(
            "login_without_tls",
            "without TLS anybody on the way reads the password",
            "give --tls starttls or --tls tls, or no --user",
        )
    if settings["tls"] == "none" and not is_own_host(settings["host"]):
        raise Refused(
            "no_tls",
            f"{settings['host']} is not among BACKOFFICE_MAIL_HOSTS, so it needs TLS",
            "give --tls starttls or --tls tls, or name the server in BACKOFFICE_MAIL_HOSTS of"
            " arg_sync",
        )


def _require_password(command: SetMailAccount, bound_to: bytes) -> None:
    """Refuse a box that was sealed for another account, or holds no password."""
    opened = sealing.unseal(command.sealed_password, bound_to)
    if set(opened) != {"password"} or not opened["password"].isprintable():
        raise Refused(
            "not_a_sealed_box",
            "the sealed box holds no password",
            "give it with `backoffice send set-account --password-file FILE`",
        )


async def on_send_batch(connection: AsyncConnection, command: SendBatch) -> Answer:
    """Queue what was not sent of a batch."""
    account = await account_or_refused(connection, command.billing_company)
    ids = await mails.documents_of(connection, command.billing_company, batch_id=command.batch_id)
    if not ids:
        raise Refused(
            "unknown_batch",
            f"{command.billing_company} has no batch {command.batch_id}",
            "see `backoffice batch list`",
        )
    queued, without = await _queue(connection, account, ids, again=False)
    states = await mails.states_of(connection, ids)
    names = sorted({each.account_name for each in without})
    missing = (
        f"; {counted(len(without), 'document')} of debtors without an address: "
        f"{listed(names, SHOWN)}"
        if without
        else ""
    )
    return Answer(
        f"{counted(queued, 'e-mail')} of {command.batch_id} queued{missing}{held_words(account)}",
        details={
            "batch_id": command.batch_id,
            "queued": queued,
            "mails": states,
            "without_address": len(without),
            "debtors_without_address": names[:SHOWN],
        },
        subjects=[command.batch_id],
    )


async def on_send_invoice(connection: AsyncConnection, command: SendInvoice) -> Answer:
    """Queue one document for every address of its debtor."""
    number = command.invoice_number
    account = await account_or_refused(connection, command.billing_company)
    ids = await mails.documents_of(connection, command.billing_company, number=number)
    if not ids:
        raise Refused(
            "unknown_invoice",
            f"{command.billing_company} has no document {number}",
            "see `backoffice invoices search`",
        )
    queued, without = await _queue(connection, account, ids, again=command.again)
    if without:
        raise Refused(
            "no_address",
            f"{without[0].account_name} has no e-mail address",
            "add one with `backoffice debtor-terms set --email`",
        )
    states = await mails.states_of(connection, ids)
    if not queued:
        shown = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        raise Refused(
            "already_sent",
            f"{number} is there already: {shown}",
            "see `backoffice send show`; to send once more what was sent or came back: --again",
        )
    return Answer(
        f"{number} is queued for {counted(queued, 'address', 'addresses')}{held_words(account)}",
        details={"invoice_number": number, "queued": queued, "mails": states},
        subjects=[number],
    )


async def on_decide(connection: AsyncConnection, command: DecideMail) -> Answer:
    """Settle an e-mail of unknown outcome, as a person found out."""
    number, to = command.invoice_number, command.address
    row = await mails.mail_for(connection, command.billing_company, number, to)
    if row is None or row.state != "unknown":
        raise Refused(
            "not_unknown",
            f"{number} to {to} is {row.state}" if row else f"{number} was never sent to {to}",
            "see `backoffice send list --state unknown`",
        )
    if not command.reason:
        raise Refused(
            "reason_missing", "a decision needs a reason", "give --reason, e.g. who was asked"
        )
    state = "sent" if command.sent else "queued"
    words = "it was sent" if command.sent else "it was not sent"
    message = f"{command.actor} decided that {words}: {command.reason}"
    await mails.decide(connection, row.mail_id, state, message)
    return Answer(
        f"{number} to {to} is {state}",
        details={"invoice_number": number, "address": to, "state": state},
        before={"state": row.state},
        after={"state": state},
        subjects=[number],
    )


async def on_bounces(connection: AsyncConnection, command: RecordBounces) -> Answer:
    """Record e-mails that came back. Reports about what is not ours, or known, change nothing."""
    messages: dict[str, str] = {}
    for each in command.bounces:
        words = " ".join(each.text.split())
        messages.setdefault(each.message_id, f"it came back: {each.status} {words}".strip())
    numbers = await mails.record_bounces(connection, messages, BOUNCED_FIX)
    ignored = len(command.bounces) - len(numbers)
    more = f", {ignored} known before or not of ours" if ignored else ""
    named = f": {listed(numbers, SHOWN)}" if numbers else ""
    return Answer(
        f"{counted(len(numbers), 'e-mail')} came back{more}{named}",
        details={"bounced": len(numbers), "ignored": ignored, "invoice_numbers": numbers[:SHOWN]},
        subjects=sorted(set(numbers)),
    )


async def companies_of_bounces(connection: AsyncConnection, command: RecordBounces) -> set[str]:
    """Return the billing companies whose e-mails came back."""
    return await mails.companies_of_messages(
        connection, [each.message_id for each in command.bounces]
    )


async def account_or_refused(connection: AsyncConnection, billing_company: str) -> MailAccount:
    """Lock and return the mail account of a billing company.

    That of the buyer sends for a self-billing agreement without an account of its own.
    """
    account = await accounts.account_for(connection, billing_company)
    if account is None and is_agreement(billing_company):
        return await account_or_refused(connection, buyer_of(billing_company))
    if account is None:
        raise Refused(
            "no_mail_account",
            f"{billing_company} has no mail account",
            "set one up with `backoffice send set-account`",
        )
    return account


def domain_of(account: MailAccount) -> str:
    """Return the domain of the message ids of an account."""
    return account.settings["sender"].rpartition("@")[2]


def held_words(account: MailAccount) -> str:
    """Say why nothing goes out now."""
    return "" if account.state == "ready" else f"; nothing is sent now: {account.message}"


async def _queue(
    connection: AsyncConnection, account: MailAccount, ids: Sequence[int], *, again: bool
) -> tuple[int, list[Recipients]]:
    """Queue documents; return how many e-mails, and the documents without an address."""
    zone = await company_setting(connection, account.billing_company, "time_zone")
    today = today_of(zone or "UTC")
    queued, without = 0, list[Recipients]()
    for start in range(0, len(ids), AT_ONCE):
        part = ids[start : start + AT_ONCE]
        found = await mails.recipients(connection, part, today)
        without += [each for each in found if not each.emails]
        documents = await documents_for(connection, part)
        rendered = [one for each in found for one in _mails(account, documents, each)]
        queued += await mails.queue(
            connection, rendered, account.billing_company, domain_of(account), again=again
        )
    return queued, without


def _mails(
    account: MailAccount, documents: Mapping[int, ClosedDocument], to: Recipients
) -> Iterator[dict[str, Any]]:
    """Return the e-mails of a document, one for each address."""
    if not to.emails:
        return
    document = documents[to.invoice_id]
    subject, text = subject_and_text(document, to.subject, to.text, account.settings)
    for address in dict.fromkeys(to.emails):
        yield {
            "invoice_id": to.invoice_id,
            "address": address,
            "subject": subject,
            "content": text,
            "attach": list(dict.fromkeys(to.attach)),
        }


HANDLERS: Mapping[type[Any], CommandHandler] = {
    SetMailAccount: on_set_account,
    SendBatch: on_send_batch,
    SendInvoice: on_send_invoice,
    DecideMail: on_decide,
    RecordBounces: on_bounces,
}
