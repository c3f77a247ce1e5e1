"""`backoffice reminders`: e-mails about overdue invoices, in stages."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import (
    AccountName,
    AnyCompany,
    Company,
    Limit,
    option,
    parsed,
    read_date,
    read_decimal,
    read_text,
)
from services.console.cli.output import Column
from services.console.columns.reminders import SETTINGS, settings_cells
from shared.terms import counted

app = typer.Typer(help="E-mails about overdue invoices, in stages.", no_args_is_help=True)
REMINDERS = [
    Column("reminder"),
    Column("reminded_on", "date"),
    Column("account_name", most=40),
    Column("stage", "days", figures=True),
    Column("invoice_numbers", "invoices", most=80),
    Column("mails", "e-mails"),
]
PREVIEW = [
    Column("account_name", most=40),
    Column("invoice_number", "number"),
    Column("due_date", "due"),
    Column("days_overdue", "days", figures=True),
    Column("balance", "open", figures=True),
    Column("currency", ""),
    Column("stage", "reminded at", figures=True),
    Column("code", "not, because"),
    Column("message", most=200),
]
Debtor = Annotated[
    str | None,
    option("Only this debtor; without it the billing company.", "--account-name", metavar="NAME"),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="reminders")


@command(app, "set", sends=True)
def set_reminders(
    run: Run,
    billing_company: Company,
    account_name: Debtor = None,
    stage: Annotated[
        list[int] | None,
        option(
            "Days after the due date; repeat it to name all stages.",
            "--stage",
            metavar="DAYS",
        ),
    ] = None,
    minimum: Annotated[
        Decimal | None,
        parsed(
            read_decimal,
            "Invoices of which less is open, in their currency, are not reminded.",
            metavar="AMOUNT",
        ),
    ] = None,
    enabled: Annotated[
        bool | None,
        typer.Option("--on/--off", help="Remind or not (at first off).", show_default=False),
    ] = None,
    as_company: Annotated[
        bool, typer.Option("--as-company", help="The debtor has nothing of its own any more.")
    ] = False,
) -> None:
    """Set who is reminded, at how many days overdue; what is not named stays.

    With --on the reminders of today follow at once; `reminders preview` shows them before.
    """
    run.send(
        "set-reminders",
        billing_company=billing_company,
        account_name=account_name or "",
        enabled=enabled,
        stages=stage,
        minimum=minimum,
        as_company=as_company,
    )


@command(app, sends=True)
def template(
    run: Run,
    stage: Annotated[int, typer.Argument(metavar="DAYS", help="The stage.")],
    billing_company: Company,
    account_name: Debtor = None,
    subject: Annotated[
        str | None, option('Template of the subject; "" for the default.', metavar="TEMPLATE")
    ] = None,
    text_file: Annotated[
        Path | None,
        option(
            "File with the template of the text; an empty one for the default.",
            metavar="FILE",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Set the subject and text of a stage.

    Fields: invoices (a line for each), count, total, currency, days, debtor, company.
    """
    if subject is None and text_file is None:
        raise typer.BadParameter("give --subject or --text-file")
    text = read_text(text_file, "--text-file")
    run.send(
        "set-reminders",
        billing_company=billing_company,
        account_name=account_name or "",
        templates=[{"stage": stage, "subject": subject, "text": text}],
    )


@command(app)
def show(run: Run, billing_company: Company) -> None:
    """Show what is set for a billing company and its debtors."""
    from services.console.queries.reminders import reminder_settings

    found = run.read(reminder_settings, billing_company)
    run.document({"billing_company": billing_company, "settings": found})
    run.table(
        [settings_cells(row) for row in found],
        SETTINGS,
        empty=f"reminders of {billing_company} are off: nothing is set",
    )


@command(app, "list")
def list_reminders(
    run: Run,
    billing_company: AnyCompany = None,
    account_name: AccountName = None,
    number: Annotated[
        str | None, option("Only those of this invoice.", "--number", metavar="NUMBER")
    ] = None,
    limit: Limit = 100,
) -> None:
    """List reminders, the newest first; `backoffice send show REMINDER` has the attempts."""
    from services.console.queries.reminders import reminders

    rows, total = run.read(reminders, billing_company, account_name, number, limit)
    shown = [
        row
        | {
            "invoice_numbers": ", ".join(row["invoice_numbers"]),
            "mails": ", ".join(f"{count} {state}" for state, count in sorted(row["mails"].items())),
        }
        for row in rows
    ]
    run.document({"reminders": rows, "total": total})
    run.table(shown, REMINDERS, empty="no reminder yet")


@command(app)
def preview(
    run: Run,
    billing_company: Company,
    account_name: AccountName = None,
    number: Annotated[
        str | None, option("Only this invoice, overdue or not.", "--number", metavar="NUMBER")
    ] = None,
    limit: Limit = 1_000,
) -> None:
    """Show which overdue invoices would be reminded today, and why each other one is not."""
    from services.console.queries.reminders import reminder_preview

    found = run.read(reminder_preview, billing_company, account_name, number, limit)
    run.document(found)
    run.table(
        found["invoices"],
        PREVIEW,
        empty=f"no invoice of {billing_company} is overdue on {found['today']}",
    )
    run.shortened(len(found["invoices"]), found["total"])
    run.say(f"{counted(found['to_remind'], 'invoice')} to remind on {found['today']}")
    if not found["enabled"]:
        run.say(f"reminders of {billing_company} are off, except of debtors where they are on")
    if found["late_ledgers"]:
        names = ", ".join(found["late_ledgers"])
        run.say(f"no debtor is reminded until payments are read: {names} gave none for a day")


@command(app, sends=True)
def hold(
    run: Run,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Number of the invoice.")],
    until: Annotated[
        date | None,
        parsed(read_date, "First day on which it may be reminded again.", metavar="DATE"),
    ] = None,
    billing_company: AnyCompany = None,
) -> None:
    """Remind of an invoice no more, because it is disputed, say; needs --reason."""
    run.send(
        "hold-reminders",
        billing_company=_company_of_invoice(run, number, billing_company),
        invoice_number=number,
        until=until,
    )


@command(app, sends=True)
def release(
    run: Run,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Number of the invoice.")],
    billing_company: AnyCompany = None,
) -> None:
    """End a hold."""
    run.send(
        "hold-reminders",
        billing_company=_company_of_invoice(run, number, billing_company),
        invoice_number=number,
        release=True,
    )


def _company_of_invoice(run: Run, number: str, billing_company: str | None) -> str:
    from services.console.queries.invoices import invoice

    return str(run.read(invoice, number, billing_company)["billing_company"])


@command(app, sends=True)
def send(
    run: Run,
    reminder: Annotated[str, typer.Argument(metavar="REMINDER", help="E.g. reminder:17.")],
    again: Annotated[
        bool,
        typer.Option("--again", help="Also to addresses that have it, or from which it came back."),
    ] = False,
) -> None:
    """Send a reminder once more, with what is still due of it."""
    from services.console.queries.mail import mails_of

    company = run.read(mails_of, reminder)[0]["billing_company"]
    run.send("send-reminder", billing_company=company, reminder=reminder, again=again)
