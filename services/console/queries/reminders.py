"""Reminders of overdue invoices: settings, what was sent, and whom a run would remind today."""

from dataclasses import fields
from datetime import date
from typing import Any

from services.console.queries.amounts import at_minor_unit
from services.console.queries.companies import companies_today
from services.console.queries.snapshot import ReadConnection, Row, fetch, fetch_page
from shared.reminders import PREFIX, OpenInvoice, ReminderSettings, settings_of, verdict
from shared.stored import as_json

INVOICE = ", ".join(each.name for each in fields(OpenInvoice))
NAME = f"'{PREFIX}' || reminder_id"


async def reminder_settings(connection: ReadConnection, billing_company: str) -> list[Row]:
    """The settings of a billing company (no Account Name), then those of its debtors."""
    rows = await fetch(
        connection,
        "SELECT * FROM arg_sync.console_reminder_settings WHERE billing_company = :company"
        " ORDER BY account_name",
        company=billing_company,
    )
    return [row | {"stages": as_json(row["stages"])} for row in rows]


async def reminders(
    connection: ReadConnection,
    billing_company: str | None = None,
    account_name: str | None = None,
    number: str | None = None,
    limit: int = 100,
) -> tuple[list[Row], int]:
    """Reminders, the newest first, with their invoices and e-mails by state; and how many in
    all.
    """
    rows, total = await fetch_page(
        connection,
        f"{NAME} AS reminder, billing_company, account_name, currency, stage, reminded_on,"
        " invoice_numbers",
        "arg_sync.console_reminder"
        " WHERE (CAST(:company AS text) IS NULL OR billing_company = :company)"
        " AND (CAST(:account AS text) IS NULL OR account_name = :account)"
        " AND (CAST(:number AS text) IS NULL OR :number = ANY(invoice_numbers))",
        "reminder_id DESC",
        limit,
        company=billing_company,
        account=account_name,
        number=number,
    )
    states = await fetch(
        connection,
        "SELECT invoice_number, state, count(*) AS n FROM arg_sync.console_mail"
        " WHERE invoice_number = ANY(CAST(:names AS text[])) GROUP BY invoice_number, state",
        names=[row["reminder"] for row in rows],
    )
    by_name: dict[str, dict[str, int]] = {}
    for state in states:
        by_name.setdefault(state["invoice_number"], {})[state["state"]] = state["n"]
    return [row | {"mails": by_name.get(row["reminder"], {})} for row in rows], total


async def reminder_preview(
    connection: ReadConnection,
    billing_company: str,
    account_name: str | None = None,
    number: str | None = None,
    limit: int = 1_000,
) -> dict[str, Any]:
    """Each open overdue invoice with the stage of which it would be reminded today, or the reason
    why not; of a named one the reason in any case. At most `limit` of `total`.

    Whether reminders of the billing company are on counts only in `enabled`: the others are decided
    as if they were. `late_ledgers`: connections of which no payments were read for a day; meanwhile
    no debtor is reminded.
    """
    today = (await companies_today(connection, billing_company))[billing_company]
    known = {
        row["account_name"]: settings_of(row["enabled"], row["stages"], row["minimum"])
        for row in await reminder_settings(connection, billing_company)
    }
    company = known.pop("", ReminderSettings())
    as_if_on = ReminderSettings(True).over(company)
    addressed = await _addressed(connection, billing_company, today)
    found = await fetch(
        connection,
        f"SELECT {INVOICE} FROM arg_sync.console_open_invoice"
        " WHERE billing_company = :company"
        " AND (CAST(:account AS text) IS NULL OR account_name = :account)"
        " AND CASE WHEN CAST(:number AS text) IS NULL THEN due_date < :today AND balance > 0"
        "   ELSE invoice_number = :number END"
        " ORDER BY account_name, due_date, invoice_number",
        company=billing_company,
        account=account_name,
        number=number,
        today=today,
    )
    late = await fetch(
        connection,
        "SELECT ledger, read_at FROM arg_sync.console_late_payments"
        " WHERE billing_company = :company ORDER BY ledger",
        company=billing_company,
    )
    rows = []
    for row in found:
        invoice = OpenInvoice(**row)
        name = invoice.account_name
        settings = known.get(name, ReminderSettings()).over(as_if_on)
        decided = verdict(invoice, settings, today, has_address=name in addressed)
        rows.append(
            {
                "account_name": name,
                "invoice_number": invoice.invoice_number,
                "due_date": invoice.due_date,
                "days_overdue": max(invoice.overdue(today), 0),
                "balance": at_minor_unit(invoice.balance, invoice.currency),
                "disputed": at_minor_unit(invoice.disputed, invoice.currency),
                "currency": invoice.currency,
                "stage": decided.stage.days if decided.stage else None,
                "code": decided.code,
                "message": decided.message,
            }
        )
    return {
        "billing_company": billing_company,
        "today": today,
        "enabled": bool(company.enabled),
        "late_ledgers": [row["ledger"] for row in late],
        "to_remind": sum(row["stage"] is not None for row in rows),
        "total": len(rows),
        "invoices": rows[:limit],
    }


async def _addressed(connection: ReadConnection, billing_company: str, today: date) -> set[str]:
    """The debtors that have an e-mail address today."""
    rows = await fetch(
        connection,
        "SELECT DISTINCT ON (account_name) account_name, emails"
        " FROM invoicer.console_debtor_terms"
        " WHERE billing_company = :company AND from_date <= :today"
        " ORDER BY account_name, from_date DESC",
        company=billing_company,
        today=today,
    )
    return {row["account_name"] for row in rows if row["emails"]}
