"""`backoffice pay-lines list|snooze|release|edit` and `health-check`: what can be billed, and
what prevents it.
"""

from datetime import date
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import (
    AccountName,
    AnyCompany,
    Company,
    CutOffOrToday,
    Limit,
    option,
    parsed,
    read_date,
    read_decimal,
)
from services.console.cli.output import Column, Screen
from services.console.columns.batches import line_cells
from services.console.columns.pay_lines import LINES
from shared.terms import counted

app = typer.Typer(help="Realized fees that are not invoiced yet.", no_args_is_help=True)
HEALTH_SECONDS = 600.0
PENDING = [
    Column("billing_company"),
    Column("currency", ""),
    Column("lines", figures=True),
    Column("amount_timesheets", "Amount: Timesheets", figures=True),
    Column("amount_products_and_services", "Amount: Products & Services", figures=True),
]
LineIds = Annotated[
    list[int], typer.Argument(metavar="LINE...", help="Ids of pay lines, as in `pay-lines list`.")
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="pay-lines")
    command(backoffice, "health-check", sends=True)(health_check)


async def read_pending(connection: Any, billing_company: str | None) -> dict[str, Any]:
    """The pending list: local dates, two amounts per currency, and how many documents are held."""
    from services.console.queries.companies import companies_today
    from services.console.queries.pay_lines import held_counts, pending_amounts

    todays = await companies_today(connection, billing_company)
    return {
        "today": todays,
        "pending": await pending_amounts(connection, todays),
        "held": await held_counts(connection, billing_company),
    }


def show_pending(screen: Screen, found: dict[str, Any]) -> None:
    """Shows the pending list."""
    screen.table(found["pending"], PENDING, title="Pending", empty="nothing is pending")
    for each in found["held"]:
        company = f" for {each['billing_company']}" if each["billing_company"] else ""
        count = f"{counted(each['documents'], 'document')} held{company}, {each['code']}"
        screen.say(f"{count}; to see them: backoffice documents held", "yellow")


@command(app, "list")
def list_lines(
    run: Run,
    billing_company: AnyCompany = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="Pending, Scheduled, Snoozed, Draft or Invoiced; may be repeated.",
        ),
    ] = None,
    document: Annotated[
        str | None, option("Only lines of this timesheet or placement.", metavar="ID")
    ] = None,
    account_name: AccountName = None,
    since: Annotated[
        date | None, parsed(read_date, "Service dates from.", "--from", metavar="DATE")
    ] = None,
    until: Annotated[
        date | None, parsed(read_date, "Service dates up to.", "--to", metavar="DATE")
    ] = None,
    corrects: Annotated[
        str | None, option("Only credits of this invoice.", metavar="INVOICE_NUMBER")
    ] = None,
    limit: Limit = 100,
) -> None:
    """List pay lines with their status, and the pending amounts.

    Without --status: open lines, or all lines of a named document.
    """
    from services.console.queries.pay_lines import OPEN_STATUSES, STATUSES, pay_lines

    statuses = [each.capitalize() for each in status or []]
    unknown = ", ".join(sorted(set(statuses) - set(STATUSES)))
    if unknown:
        raise typer.BadParameter(
            f"{unknown} is not one of {', '.join(STATUSES)}", param_hint="--status"
        )

    async def read(connection: Any) -> dict[str, Any]:
        pending = await read_pending(connection, billing_company)
        find = partial(
            pay_lines,
            connection,
            pending["today"],
            document=document,
            account_name=account_name,
            since=since,
            until=until,
            corrects=corrects,
        )
        named = statuses or (STATUSES if document else OPEN_STATUSES)
        rows, total = await find(statuses=named, limit=limit)
        _, in_any_status = (rows, total) if total else await find(statuses=STATUSES, limit=0)
        return {"pay_lines": rows, "total": total, "in_any_status": in_any_status} | pending

    found = run.read(read)
    run.document(found)
    run.table([line_cells(row) for row in found["pay_lines"]], LINES, empty=no_line(found))
    run.shortened(len(found["pay_lines"]), found["total"])
    if document is None:
        run.say()
        show_pending(run, found)


def no_line(found: dict[str, Any]) -> str:
    """What to do where the list is empty: all lines may be in another status."""
    if found["in_any_status"]:
        others = " ".join(f"--status {each}" for each in ("Pending", "Scheduled", "Invoiced"))
        lines = counted(found["in_any_status"], "line")
        return f"no line in this status, {lines} in others: backoffice pay-lines list {others}"
    return (
        "no such line; to add timesheets: backoffice import or publish;"
        " to see what waits: backoffice documents held"
    )


@command(app, sends=True)
def snooze(
    run: Run,
    pay_lines: LineIds,
    until: Annotated[
        date | None, parsed(read_date, "The hold ends on this date.", metavar="DATE")
    ] = None,
) -> None:
    """Put lines on hold: no batch takes them until they are released. Needs --reason."""
    company = _company_of(run, pay_lines)
    run.send("snooze-pay-lines", billing_company=company, pay_line_ids=pay_lines, until=until)


@command(app, sends=True)
def release(run: Run, pay_lines: LineIds) -> None:
    """End the hold of lines."""
    company = _company_of(run, pay_lines)
    run.send("release-pay-lines", billing_company=company, pay_line_ids=pay_lines)


@command(app, sends=True)
def edit(
    run: Run,
    pay_line: Annotated[int, typer.Argument(metavar="LINE")],
    quantity: Annotated[
        Decimal | None, parsed(read_decimal, "The new quantity.", metavar="Q")
    ] = None,
    amount: Annotated[Decimal | None, parsed(read_decimal, "The new amount.", metavar="A")] = None,
) -> None:
    """Change the quantity or the amount of an open line.

    The difference is kept and added to every later realization.
    """
    if (quantity is None) == (amount is None):
        raise typer.BadParameter("give either --quantity or --amount")
    run.send(
        "edit-pay-line",
        show=run.facts,
        billing_company=_company_of(run, [pay_line]),
        pay_line_id=pay_line,
        quantity=quantity,
        amount=amount,
    )


def _company_of(run: Run, pay_lines: list[int]) -> str:
    from services.console.queries.pay_lines import company_of_lines

    return run.read(company_of_lines, pay_lines)


def health_check(run: Run, billing_company: Company, cut_off: CutOffOrToday = None) -> None:
    """Check all that a batch would take, and show what prevents it and how to fix it."""
    run.send(
        "health-check",
        timeout=HEALTH_SECONDS,
        billing_company=billing_company,
        cut_off_date=cut_off,
    )
