"""Reminders of overdue invoices: the look of each day, the words at the time of sending, commands.

A debtor gets one e-mail for all its invoices that reach a stage on a day, not one for each: with
an invoice for each timesheet it would get dozens. What is due is decided again when the e-mail goes
out, because a payment may have come while it waited for the mail server.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store.connections import company_setting
from services.arg_sync.mail import rules
from services.arg_sync.mail.handlers.commands import account_or_refused, domain_of, held_words
from services.arg_sync.mail.store import reminders as store
from services.arg_sync.mail.store.mails import ClaimedMail
from shared import clock
from shared.clock import today_of
from shared.consumer.commands import Answer, CommandHandler
from shared.consumer.records import Applied
from shared.errors import Refused
from shared.events.commands import HoldReminders, SendReminder, SetReminders
from shared.reminders import (
    PREFIX,
    OpenInvoice,
    ReminderSettings,
    Stage,
    not_due,
    verdict,
)
from shared.terms import counted, listed

UNREAD = (
    "no accounting system reports payments: without `backoffice payments record` what is paid is"
    " reminded, too"
)
DUE_FIX = "nothing; if it is due again, `backoffice reminders send NUMBER`"


async def queue_due(connection: AsyncConnection) -> Applied:
    """Queue the reminders of one billing company that was not looked at today, from the morning
    on.
    """
    for company in await store.companies_that_remind(connection):
        today = today_of(company.time_zone)
        if company.looked_at is not None and company.looked_at >= today:
            continue
        hour = clock.now().astimezone(ZoneInfo(company.time_zone)).hour
        if hour < rules.FROM_HOUR and clock.date_in_place_of_today() is None:
            continue
        if await store.take_day(connection, company.billing_company, today):
            await queue_reminders(connection, company.billing_company, today)
            return Applied(jobs_due=True)
    return Applied()


async def queue_reminders(connection: AsyncConnection, billing_company: str, today: date) -> int:
    """Queue what is due on a day; return how many e-mails."""
    account = await account_or_refused(connection, billing_company)
    known = await store.settings_for(connection, billing_company)
    addresses = await store.addresses_for(connection, billing_company, today)
    due: dict[tuple[str, str, Stage], list[OpenInvoice]] = defaultdict(list)
    for invoice in await store.overdue_invoices(connection, billing_company, today):
        name = invoice.account_name
        found = verdict(invoice, settings_of(known, name), today, has_address=name in addresses)
        if found.stage is not None:
            due[name, invoice.currency, found.stage].append(invoice)
    queued = 0
    for (name, _, stage), invoices in sorted(due.items()):
        for start in range(0, len(invoices), rules.INVOICES_AT_MOST):
            part = invoices[start : start + rules.INVOICES_AT_MOST]
            reminder = await store.add_reminder(connection, part, stage, today)
            words = rules.reminder_words(part, stage.days, stage.subject, stage.text, today)
            domain = domain_of(account)
            queued += await store.queue(connection, reminder, addresses[name], words, domain)
    return queued


def settings_of(known: Mapping[str, ReminderSettings], account_name: str) -> ReminderSettings:
    """Return the settings of a debtor, with the company's where it has none of its own."""
    company = known.get(store.COMPANY, ReminderSettings())
    return known.get(account_name, ReminderSettings()).over(company)


async def due_now(
    connection: AsyncConnection, billing_company: str, reminder_id: int, claimed: ClaimedMail
) -> tuple[str, ClaimedMail]:
    """Return the billing company's name, and the e-mail with the words that are true now.

    Refused if nothing of the reminder is due any more.
    """
    reminder = await store.reminder_for(connection, reminder_id, billing_company)
    assert reminder is not None  # a constraint of the table
    today = await _today(connection, billing_company)
    known = await store.settings_for(connection, billing_company)
    invoices = await store.invoices_of(connection, reminder_id)
    due = _still_due(reminder, settings_of(known, reminder.account_name), invoices, today)
    subject, text = rules.reminder_words(
        due, reminder.stage, reminder.subject, reminder.content, today
    )
    await store.store_words(connection, claimed.mail_id, claimed.lease, subject, text)
    return due[-1].company_name, replace(claimed, subject=subject, content=text)


def _still_due(
    reminder: store.Reminder,
    settings: ReminderSettings,
    invoices: Sequence[OpenInvoice],
    today: date,
) -> list[OpenInvoice]:
    """Return the invoices that are still due, and of which no later stage was reminded."""
    due, reasons = [], []
    for invoice in invoices:
        if invoice.reminded_stage != reminder.stage:
            later = f"{PREFIX}{invoice.reminder_id}"
            reasons.append(f"{invoice.invoice_number}: {later} is of a later stage")
        elif refused := not_due(invoice, settings, today):
            reasons.append(f"{invoice.invoice_number}: {refused.message}")
        else:
            due.append(invoice)
    if not due:
        raise Refused(rules.NOT_DUE, listed(reasons), DUE_FIX)
    return due


async def _today(connection: AsyncConnection, billing_company: str) -> date:
    return today_of(await company_setting(connection, billing_company, "time_zone") or "UTC")


async def on_set_reminders(connection: AsyncConnection, command: SetReminders) -> Answer:
    """Change the reminders of a billing company or a debtor."""
    company, name = command.billing_company, command.account_name
    account = await account_or_refused(connection, company)
    await store.look_again(connection, company, command.actor)
    known = await store.settings_for(connection, company)
    before = known.get(name, ReminderSettings())
    whose = name or company
    if command.as_company:
        await store.drop_settings(connection, company, name)
        known.pop(name, None)
    else:
        after = ReminderSettings(
            before.enabled if command.enabled is None else command.enabled,
            _stages(command, before, settings_of(known, name)),
            before.minimum if command.minimum is None else command.minimum,
        )
        await store.put_settings(connection, company, name, after, command.actor)
        known[name] = after
    in_force = settings_of(known, name)
    unread = in_force.enabled and not await store.connections_of(connection, company)
    note = f"; {UNREAD}" if unread else ""
    return Answer(
        f"reminders of {whose} are {_in_words(in_force)}{note}{held_words(account)}",
        details={"billing_company": company, "account_name": name} | in_force.row,
        before=before.row,
        after=known.get(name, ReminderSettings()).row,
        subjects=[whose],
    )


def _in_words(settings: ReminderSettings) -> str:
    if not settings.stages:
        return "off: no stage is set"
    days = ", ".join(str(each.days) for each in settings.stages)
    return f"{'on' if settings.enabled else 'off'}, at {days} days after the due date"


def _stages(
    command: SetReminders, before: ReminderSettings, in_force: ReminderSettings
) -> tuple[Stage, ...] | None:
    """Return all stages with their templates; None: the debtor still has those of the company."""
    if command.stages is None and not command.templates:
        return before.stages
    own = {each.days: each for each in before.stages or ()}
    days = command.stages or tuple(each.days for each in in_force.stages or ())
    stages = {each: own.get(each, Stage(each)) for each in sorted(days)}
    for template in command.templates:
        stage = stages.get(template.stage)
        if stage is None:
            raise Refused(
                "unknown_stage",
                f"there is no stage at {template.stage} days; there are {listed(list(stages))}"
                if stages
                else "no stage is set",
                "set all stages with `backoffice reminders set --stage DAYS ...`",
            )
        stages[template.stage] = Stage(
            stage.days,
            stage.subject if template.subject is None else template.subject,
            stage.text if template.text is None else template.text,
        )
    return tuple(stages.values())


async def on_hold_reminders(connection: AsyncConnection, command: HoldReminders) -> Answer:
    """Hold the reminders of an invoice, or release them."""
    number, company = command.invoice_number, command.billing_company
    invoice_id = await store.invoice_named(connection, company, number)
    if invoice_id is None:
        raise Refused(
            "unknown_invoice",
            f"{company} has no invoice {number}",
            "see `backoffice invoices search`",
        )
    if command.release:
        if not await store.drop_hold(connection, invoice_id):
            raise Refused("not_held", f"reminders of {number} are not held", "nothing to do")
        await store.look_again_if_set(connection, company)
        return Answer(
            f"{number} is reminded again",
            details={"invoice_number": number, "held": False},
            subjects=[number],
        )
    if not command.reason:
        raise Refused("reason_missing", "a hold needs a reason", "give --reason, e.g. the dispute")
    await store.put_hold(connection, invoice_id, command.reason, command.until, command.actor)
    until = f" until {command.until}" if command.until else ""
    return Answer(
        f"{number} is not reminded{until}",
        details={"invoice_number": number, "held": True, "until": command.until},
        subjects=[number],
    )


async def on_send_reminder(connection: AsyncConnection, command: SendReminder) -> Answer:
    """Queue a reminder once more for every address of its debtor."""
    company, number = command.billing_company, command.reminder
    account = await account_or_refused(connection, company)
    digits = number.removeprefix(PREFIX)
    known = digits.isascii() and digits.isdigit() and len(digits) < 18
    reminder = await store.reminder_for(connection, int(digits), company) if known else None
    if reminder is None:
        raise Refused(
            "unknown_reminder",
            f"{company} has no reminder {number}",
            "see `backoffice reminders list`",
        )
    today, name = await _today(connection, company), reminder.account_name
    addresses = (await store.addresses_for(connection, company, today)).get(name, [])
    if not addresses:
        raise Refused(
            "no_address",
            f"{name} has no e-mail address",
            "add one with `backoffice debtor-terms set --email`",
        )
    settings = settings_of(await store.settings_for(connection, company), name)
    invoices = await store.invoices_of(connection, reminder.reminder_id)
    due = _still_due(reminder, settings, invoices, today)
    words = rules.reminder_words(due, reminder.stage, reminder.subject, reminder.content, today)
    domain = domain_of(account)
    queued = await store.queue(connection, reminder, addresses, words, domain, again=command.again)
    if not queued:
        raise Refused(
            "already_sent",
            f"{number} is there already",
            "see `backoffice send show`; to send once more what was sent or came back: --again",
        )
    return Answer(
        f"{number} is queued for {counted(queued, 'address', 'addresses')}{held_words(account)}",
        details={"reminder": number, "queued": queued},
        subjects=[number, *(each.invoice_number for each in due)],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {
    SetReminders: on_set_reminders,
    HoldReminders: on_hold_reminders,
    SendReminder: on_send_reminder,
}
