"""`backoffice rates set|impact|confirm|list`: bill rates by command, and what a change of rates does to what is invoiced."""

import json
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.options import (
    Actor,
    AsJson,
    Data,
    Limit,
    Reason,
    Timeout,
    read_date,
    read_decimal,
)
from services.console.cli.output import Column, Screen, screen_for
from services.console.cli.send_command import ask, read_books, said_by

if TYPE_CHECKING:
    from shared.events.billing import CommandResult

app = typer.Typer(
    help="Bill rates, and what a change of them does to what is invoiced.", no_args_is_help=True
)

Requirement = Annotated[str, typer.Argument(metavar="REQUIREMENT")]
TimeType = Annotated[
    str, typer.Option("--time-type", metavar="T", help="e.g. REG, OT.", show_default=False)
]
From = Annotated[
    date,
    typer.Option(
        "--effective-from",
        parser=read_date,
        metavar="DATE",
        help="The work date from which it holds.",
        show_default=False,
    ),
]
Preview = Annotated[bool, typer.Option("--preview", help="Only say what it would do.")]
SUMS = [
    Column("documents", figures=True),
    Column("lines", figures=True),
    Column("hours", figures=True),
    Column("old", figures=True),
    Column("new", figures=True),
    Column("net", figures=True),
    Column("currency", ""),
]
TABLES: dict[str, tuple[str, list[Column]]] = {
    "open": ("open lines, priced again at once", SUMS),
    "changes": (
        "changes",
        [
            Column("requirement_id", "requirement"),
            Column("time_type"),
            Column("effective_from", "from"),
            Column("old_price", "old price", figures=True),
            Column("new_price", "new price", figures=True),
            Column("unit"),
            *SUMS,
        ],
    ),
    "debtors": (
        "debtors, as invoiced",
        [Column("billing_company"), Column("account_name", most=40), *SUMS],
    ),
    "invoices": (
        "invoices",
        [Column("invoice_number", "number"), Column("account_name", most=40), *SUMS],
    ),
    "totals": ("lines on documents", SUMS),
}
RATES = [
    Column("requirement_id", "requirement"),
    Column("time_type"),
    Column("effective_from", "from"),
    Column("unit_price", "price", figures=True),
    Column("unit"),
    Column("source"),
    Column("actor"),
    Column("books", "rate books"),
    Column("confirmed"),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="rates")


@app.command("set")
def set_rate(
    requirement: Requirement,
    time_type: TimeType,
    effective_from: From,
    bill_rate: Annotated[
        Decimal,
        typer.Option(
            "--bill-rate",
            parser=read_decimal,
            metavar="P",
            help="Price of one unit.",
            show_default=False,
        ),
    ],
    preview: Preview = False,
    timeout: Timeout = 120.0,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Set a bill rate. Open lines are priced again at once; lines on documents keep their price until `rates confirm`."""
    with screen_for(as_json) as screen:
        from shared.events.commands import SetBillRate
        from shared.money import plain

        # As text, so that a price below zero or with five decimals is wrong use here and not a dead letter there.
        about = {
            "requirement_id": requirement,
            "time_type": time_type,
            "effective_from": str(effective_from),
            "bill_rate": plain(bill_rate),
        }
        command = SetBillRate.model_validate_json(
            json.dumps(said_by(actor, reason) | about | {"preview": preview})
        )
        ask(screen, data, command, timeout, show=lambda result: _show(screen, result))


@app.command()
def impact(
    requirement: Annotated[
        str | None,
        typer.Option(
            "--requirement", metavar="R", help="Only this requirement.", show_default=False
        ),
    ] = None,
    timeout: Timeout = 120.0,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Where lines on documents keep another price than the one in force: documents, lines, hours, old, new, net. Nothing is written."""
    with screen_for(as_json) as screen:
        from shared.events.commands import RatesImpact

        ask(
            screen,
            data,
            RatesImpact(**said_by(actor, reason), requirement_id=requirement),
            timeout,
            show=lambda result: _show(screen, result),
        )


@app.command()
def confirm(
    requirement: Requirement,
    time_type: TimeType,
    effective_from: From,
    preview: Preview = False,
    timeout: Timeout = 120.0,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Bill a change of rates on what is invoiced: a credit at the old price and a debit at the new one, open for the next batch."""
    with screen_for(as_json) as screen:
        from shared.events.commands import ConfirmRates

        command = ConfirmRates(
            **said_by(actor, reason),
            requirement_id=requirement,
            time_type=time_type,
            effective_from=effective_from,
            preview=preview,
        )
        ask(screen, data, command, timeout, show=lambda result: _show(screen, result))


@app.command("list")
def list_rates(
    requirement: Requirement, limit: Limit = 200, as_json: AsJson = False, data: Data = None
) -> None:
    """List the rate versions of a requirement: price, source, actor, in which rate books each stands, and who confirmed it."""
    with screen_for(as_json) as screen:
        from services.console.client.rates import rates

        found = read_books(data, lambda connection: rates(connection, requirement, limit))
        screen.document({"requirement_id": requirement, "rates": found})
        rows = [
            row
            | {
                "books": _books(row),
                "confirmed": ", ".join(
                    f"{one['actor']} {one['confirmed_at']:%Y-%m-%d}" for one in row["confirmed"]
                ),
            }
            for row in found
        ]
        screen.table(rows, RATES, empty=f"no bill rate of {requirement} is known")


def _books(row: dict[str, Any]) -> str:
    return (
        f"{row['since_book']} on"
        if row["until_book"] is None
        else f"{row['since_book']} to {row['until_book'] - 1}"
    )


def _show(screen: Screen, result: "CommandResult") -> None:
    """The tables of an answer, from the finest to the sum."""
    details = result.details
    for name, (title, columns) in TABLES.items():
        if details.get(name):
            screen.table(details[name], columns, title=title)
