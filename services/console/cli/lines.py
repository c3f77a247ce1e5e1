"""`backoffice pay-lines list|snooze|release|edit` and `health-check`: what can be billed, and what stands in its way."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import typer

from services.console.cli.options import (
    Actor,
    AnyCompany,
    AsJson,
    Company,
    Data,
    Limit,
    Reason,
    read_date,
    read_decimal,
)
from services.console.cli.output import Column, Screen, screen_for
from services.console.cli.send_command import ask, read_books, said_by

app = typer.Typer(help="Realized fees that are not invoiced yet.", no_args_is_help=True)
LINES = [
    Column("pay_line_id", "line", figures=True),
    Column("status"),
    Column("document_id", "document", most=40),
    Column("description", most=56),
    Column("effective_date", "effective"),
    Column("quantity", figures=True),
    Column("unit_price", "price", figures=True),
    Column("amount", figures=True),
    Column("currency", ""),
    Column("hold_reason", "on hold because", most=40),
    Column("invoice_number", "invoice"),
]
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
OneLine = Annotated[int, typer.Argument(metavar="LINE")]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="pay-lines")
    backoffice.command("health-check")(health_check)


def show_pending(screen: Screen, pending: list[dict[str, Any]], held: list[dict[str, Any]]) -> None:
    """The pending list: two amounts a currency, and the documents that are held beside them."""
    screen.table(pending, PENDING, title="Pending", empty="nothing is pending")
    for each in held:
        company = f" for {each['billing_company']}" if each["billing_company"] else ""
        screen.say(
            f"held beside: {each['documents']:,} document(s){company}, {each['code']}; see `backoffice documents held`",
            "yellow",
        )


@app.command("list")
def list_lines(
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
        str | None,
        typer.Option(
            metavar="ID", help="Only lines of this timesheet or placement.", show_default=False
        ),
    ] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List pay lines with their status, and the pending amounts. Without --status: those that are open (all, if a document is named)."""
    with screen_for(as_json) as screen:
        from services.console.client import lines
        from services.console.client.books import companies_today

        chosen = [each.capitalize() for each in status or []] or list(
            lines.STATUSES if document else lines.OPEN_STATUSES
        )
        unknown = sorted(set(chosen) - set(lines.STATUSES))
        if unknown:
            raise typer.BadParameter(
                f"{', '.join(unknown)} is not one of {', '.join(lines.STATUSES)}",
                param_hint="--status",
            )

        async def read(connection: Any) -> dict[str, Any]:
            todays = await companies_today(connection, billing_company)
            rows, total = await lines.pay_lines(
                connection, todays, statuses=chosen, document=document, limit=limit
            )
            return {
                "today": todays,
                "pay_lines": rows,
                "total": total,
                "pending": await lines.pending_amounts(connection, todays),
                "held": await lines.held_counts(connection, billing_company),
            }

        found = read_books(data, read)
        screen.document(found)
        screen.table(
            found["pay_lines"],
            LINES,
            empty="no such line; publish timesheets with `backoffice import` or `publish`, or see `backoffice documents held`",
        )
        screen.shortened(len(found["pay_lines"]), found["total"])
        if document is None:
            screen.say()
            show_pending(screen, found["pending"], found["held"])


@app.command()
def snooze(
    pay_lines: LineIds,
    until: Annotated[
        date | None,
        typer.Option(
            parser=read_date,
            metavar="DATE",
            help="Ends by itself on this date.",
            show_default=False,
        ),
    ] = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Put lines on hold, out of every batch until released. Needs --reason."""
    with screen_for(as_json) as screen:
        from services.console.client.lines import company_of_lines
        from shared.events.commands import SnoozePayLines

        company = read_books(data, lambda connection: company_of_lines(connection, pay_lines))
        ask(
            screen,
            data,
            SnoozePayLines(
                **said_by(actor, reason),
                billing_company=company,
                pay_line_ids=tuple(pay_lines),
                until=until,
            ),
        )


@app.command()
def release(
    pay_lines: LineIds,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """End the hold of lines."""
    with screen_for(as_json) as screen:
        from services.console.client.lines import company_of_lines
        from shared.events.commands import ReleasePayLines

        company = read_books(data, lambda connection: company_of_lines(connection, pay_lines))
        ask(
            screen,
            data,
            ReleasePayLines(
                **said_by(actor, reason), billing_company=company, pay_line_ids=tuple(pay_lines)
            ),
        )


@app.command()
def edit(
    pay_line: OneLine,
    quantity: Annotated[
        Decimal | None,
        typer.Option(
            parser=read_decimal,
            metavar="Q",
            help="The quantity that it should have.",
            show_default=False,
        ),
    ] = None,
    amount: Annotated[
        Decimal | None,
        typer.Option(
            parser=read_decimal,
            metavar="A",
            help="The amount that it should have.",
            show_default=False,
        ),
    ] = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Change quantity or amount of an open line; the difference is kept and added to every later statement."""
    if (quantity is None) == (amount is None):
        raise typer.BadParameter("give either --quantity or --amount")
    with screen_for(as_json) as screen:
        from services.console.client.lines import company_of_lines
        from shared.events.commands import EditPayLine

        company = read_books(data, lambda connection: company_of_lines(connection, [pay_line]))
        command = EditPayLine(
            **said_by(actor, reason),
            billing_company=company,
            pay_line_id=pay_line,
            quantity=quantity,
            amount=amount,
        )
        ask(screen, data, command, show=lambda result: screen.facts(result.details))


def health_check(
    billing_company: Company,
    cut_off: Annotated[
        date | None,
        typer.Option(
            parser=read_date,
            metavar="DATE",
            help="Look as a batch with this cut-off would (default: today).",
            show_default=False,
        ),
    ] = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Look at all that a batch would take, and say what stands in its way and what fixes it."""
    with screen_for(as_json) as screen:
        from shared.events.commands import HealthCheck

        ask(
            screen,
            data,
            HealthCheck(
                **said_by(actor, reason), billing_company=billing_company, cut_off_date=cut_off
            ),
            600.0,
        )
