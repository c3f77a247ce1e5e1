"""Reminders: settings, holds, what is open of invoices, and the e-mails of each reminder."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.mail.store import mails
from shared.database import rows, run
from shared.reminders import OpenInvoice, ReminderSettings, settings_of
from shared.sql import named_queries
from shared.stored import as_json

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
INVOICE = ", ".join(each.name for each in fields(OpenInvoice))
COMPANY = ""
"""In place of an Account Name: the settings of the billing company."""


class Reminder(NamedTuple):
    """A reminder: its debtor and stage, and the templates of its e-mails."""

    reminder_id: int
    billing_company: str
    account_name: str
    stage: int
    subject: str
    content: str


async def settings_for(
    connection: AsyncConnection, billing_company: str
) -> dict[str, ReminderSettings]:
    """Return the settings of a billing company and its debtors, by Account Name."""
    found = await rows(
        connection,
        "SELECT account_name, enabled, stages, minimum FROM arg_sync.reminder_settings"
        " WHERE billing_company = :company",
        company=billing_company,
    )
    return {
        row.account_name: settings_of(row.enabled, as_json(row.stages), row.minimum)
        for row in found
    }


async def put_settings(
    connection: AsyncConnection,
    billing_company: str,
    account_name: str,
    settings: ReminderSettings,
    actor: str,
) -> None:
    """Add or change settings."""
    row = settings.row
    await run(
        connection,
        "INSERT INTO arg_sync.reminder_settings (billing_company, account_name, enabled, stages,"
        " minimum, actor, changed_at)"
        " VALUES (:company, :account, :enabled, CAST(:stages AS jsonb), :minimum, :actor, now())"
        " ON CONFLICT (billing_company, account_name) DO UPDATE SET enabled = excluded.enabled,"
        " stages = excluded.stages, minimum = excluded.minimum, actor = excluded.actor,"
        " changed_at = excluded.changed_at",
        company=billing_company,
        account=account_name,
        enabled=settings.enabled,
        stages=json.dumps(row["stages"]) if "stages" in row else None,
        minimum=settings.minimum,
        actor=actor,
    )


async def drop_settings(
    connection: AsyncConnection, billing_company: str, account_name: str
) -> None:
    """Remove the settings of a debtor."""
    await run(
        connection,
        "DELETE FROM arg_sync.reminder_settings"
        " WHERE billing_company = :company AND account_name = :account",
        company=billing_company,
        account=account_name,
    )


async def look_again(connection: AsyncConnection, billing_company: str, actor: str) -> None:
    """Lock the settings of a billing company, and let its invoices be looked at again today."""
    await run(
        connection,
        "INSERT INTO arg_sync.reminder_settings (billing_company, account_name, actor, changed_at)"
        " VALUES (:company, '', :actor, now())"
        " ON CONFLICT (billing_company, account_name) DO UPDATE SET looked_at = NULL",
        company=billing_company,
        actor=actor,
    )


async def look_again_if_set(connection: AsyncConnection, billing_company: str) -> None:
    """Let the invoices of a billing company that has settings be looked at again today."""
    await run(
        connection,
        "UPDATE arg_sync.reminder_settings SET looked_at = NULL"
        " WHERE billing_company = :company AND account_name = ''",
        company=billing_company,
    )


async def companies_that_remind(connection: AsyncConnection) -> list[Any]:
    """Return billing company, time zone and last day (or None) of those that remind anybody.

    Companies whose payments were not read for a day are left out: what is paid may be unknown.
    """
    return await rows(connection, QUERIES["companies_that_remind"])


async def take_day(connection: AsyncConnection, billing_company: str, today: date) -> bool:
    """Lock a billing company for a day; False if another worker has looked at it."""
    return bool(
        await run(
            connection,
            "UPDATE arg_sync.reminder_settings SET looked_at = :today"
            " WHERE billing_company = :company AND account_name = ''"
            "   AND (looked_at IS NULL OR looked_at < :today)",
            company=billing_company,
            today=today,
        )
    )


async def overdue_invoices(
    connection: AsyncConnection, billing_company: str, today: date
) -> list[OpenInvoice]:
    """Return the overdue invoices of a billing company with an open balance, oldest first."""
    found = await rows(
        connection,
        f"SELECT {INVOICE} FROM arg_sync.console_open_invoice"
        " WHERE billing_company = :company AND due_date < :today AND balance > 0"
        " ORDER BY account_name, due_date, invoice_id",
        company=billing_company,
        today=today,
    )
    return [OpenInvoice(*row) for row in found]


async def invoices_of(connection: AsyncConnection, reminder_id: int) -> list[OpenInvoice]:
    """Return the invoices of a reminder as they are now."""
    found = await rows(
        connection,
        f"SELECT {INVOICE} FROM arg_sync.console_open_invoice WHERE invoice_id IN ("
        "   SELECT invoice_id FROM arg_sync.reminded_invoice WHERE reminder_id = :id)",
        id=reminder_id,
    )
    return [OpenInvoice(*row) for row in found]


async def addresses_for(
    connection: AsyncConnection, billing_company: str, today: date
) -> dict[str, list[str]]:
    """Return the e-mail addresses that debtors have today, each once, by Account Name."""
    found = await rows(
        connection,
        "SELECT DISTINCT ON (account_name) account_name, emails FROM invoicer.debtor_mail"
        " WHERE billing_company = :company AND from_date <= :today"
        " ORDER BY account_name, from_date DESC",
        company=billing_company,
        today=today,
    )
    return {row.account_name: list(dict.fromkeys(row.emails)) for row in found if row.emails}


async def add_reminder(
    connection: AsyncConnection,
    invoices: Sequence[OpenInvoice],
    stage: tuple[int, str, str],
    today: date,
) -> Reminder:
    """Add a reminder of invoices of a debtor. An invoice has one for each stage."""
    first, (days, subject, content) = invoices[0], stage
    (row,) = await rows(
        connection,
        QUERIES["add_reminder"],
        company=first.billing_company,
        account=first.account_name,
        currency=first.currency,
        stage=days,
        today=today,
        subject=subject,
        content=content,
        ids=[each.invoice_id for each in invoices],
    )
    return Reminder(
        row.reminder_id, first.billing_company, first.account_name, days, subject, content
    )


async def reminder_for(
    connection: AsyncConnection, reminder_id: int, billing_company: str
) -> Reminder | None:
    """Return a reminder of a billing company; None if it has none of this id."""
    found = await rows(
        connection,
        "SELECT reminder_id, billing_company, account_name, stage, subject, content"
        " FROM arg_sync.reminder WHERE reminder_id = :id AND billing_company = :company",
        id=reminder_id,
        company=billing_company,
    )
    return Reminder(*found[0]) if found else None


async def queue(
    connection: AsyncConnection,
    reminder: Reminder,
    addresses: Iterable[str],
    words: tuple[str, str],
    domain: str,
    *,
    again: bool = False,
) -> int:
    """Queue a reminder for addresses, each once; return how many are new or a new revision.

    `words`: subject and text; `domain` is of the message ids.
    """
    found = await rows(
        connection,
        QUERIES["queue"] + "\n" + mails.QUERIES["queue_again"],
        id=reminder.reminder_id,
        company=reminder.billing_company,
        account=reminder.account_name,
        addresses=list(addresses),
        subject=words[0],
        content=words[1],
        domain=domain,
        again=again,
    )
    return len(found)


async def store_words(
    connection: AsyncConnection, mail_id: int, lease: int, subject: str, content: str
) -> None:
    """Store the subject and text with which an e-mail goes out now."""
    await run(
        connection,
        "UPDATE arg_sync.mail SET subject = :subject, content = :content"
        " WHERE mail_id = :id AND lease = :lease",
        id=mail_id,
        lease=lease,
        subject=subject,
        content=content,
    )


async def invoice_named(
    connection: AsyncConnection, billing_company: str, number: str
) -> int | None:
    """Return the id of an invoice; None if there is none of this number."""
    found = await rows(
        connection,
        "SELECT invoice_id FROM invoicer.closed_invoice WHERE billing_company = :company"
        " AND invoice_number = :number AND document_type = 'invoice'",
        company=billing_company,
        number=number,
    )
    return found[0].invoice_id if found else None


async def put_hold(
    connection: AsyncConnection, invoice_id: int, reason: str, until: date | None, actor: str
) -> None:
    """Hold the reminders of an invoice; it replaces a hold that is there."""
    await run(
        connection,
        "INSERT INTO arg_sync.reminder_hold (invoice_id, reason, until_date, actor)"
        " VALUES (:id, :reason, :until, :actor) ON CONFLICT (invoice_id) DO UPDATE SET"
        " reason = excluded.reason, until_date = excluded.until_date, actor = excluded.actor,"
        " held_at = now()",
        id=invoice_id,
        reason=reason,
        until=until,
        actor=actor,
    )


async def drop_hold(connection: AsyncConnection, invoice_id: int) -> bool:
    """End the hold of an invoice; False if there was none."""
    return bool(
        await run(
            connection, "DELETE FROM arg_sync.reminder_hold WHERE invoice_id = :id", id=invoice_id
        )
    )


async def connections_of(connection: AsyncConnection, billing_company: str) -> int:
    """Return from how many connections payments of a billing company are read."""
    (row,) = await rows(
        connection,
        "SELECT count(*) AS n FROM arg_sync.connection"
        " WHERE billing_company = :company AND state <> 'disconnected'",
        company=billing_company,
    )
    number: int = row.n
    return number
