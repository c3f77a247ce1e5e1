"""`backoffice credit`: credits an invoice by hand; the credit note closes at once."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.options import (
    LONG_SECONDS,
    Actor,
    AsJson,
    Data,
    Reason,
    Timeout,
    read_date,
    read_decimal,
)
from services.console.cli.output import Column, Screen, screen_for
from services.console.cli.send_command import ask, read_books, said_by

if TYPE_CHECKING:
    from shared.events.billing import CommandResult

ENDS = ("rebill", "write-off")
CREDITED = [
    Column("line_no", "line", figures=True),
    Column("document_id", "document", most=36),
    Column("quantity", figures=True),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("left", figures=True),
    Column("left_net", "left net", figures=True),
]


def register(backoffice: typer.Typer) -> None:
    """Adds the command to `backoffice`."""
    backoffice.command()(credit)


def credit(
    number: Annotated[str, typer.Argument(metavar="INVOICE_NUMBER")],
    line: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            metavar="N",
            help="A line of it; again for more. None: all that stands.",
            show_default=False,
        ),
    ] = None,
    quantity: Annotated[
        list[Decimal] | None,
        typer.Option(
            parser=read_decimal,
            metavar="Q",
            help="How much of the line before it; without: all that is left.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(ENDS), help="Bill it again, or forgive it.", show_default=False
        ),
    ] = None,
    reissue: Annotated[
        bool,
        typer.Option(
            "--reissue",
            help="Credit all of it and open its lines again, also what was written off on it.",
        ),
    ] = False,
    invoice_date: Annotated[
        date | None,
        typer.Option(
            parser=read_date, metavar="DATE", help="Date of the credit note (default: today)."
        ),
    ] = None,
    billing_company: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Needed where two billing companies have the number.",
            show_default=False,
        ),
    ] = None,
    timeout: Timeout = LONG_SECONDS,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Credit lines of an invoice, or all of it. A wrong credit is undone by a further document: see `backoffice invoices show`."""
    if reissue == (to is not None) or (to is not None and to not in ENDS):
        raise typer.BadParameter(
            f"say --to {' or --to '.join(ENDS)}, or --reissue", param_hint="--to"
        )
    if reissue and line:
        raise typer.BadParameter(
            "--reissue credits the whole invoice: name no lines", param_hint="--line"
        )
    if quantity and len(quantity) != len(line or ()):
        raise typer.BadParameter(
            "each --line has its --quantity, in the same order; or leave all quantities out",
            param_hint="--quantity",
        )
    if not reason.strip():
        raise typer.BadParameter("a credit by hand needs a reason", param_hint="--reason")
    with screen_for(as_json) as screen:
        from services.console.client.invoices import invoice
        from shared.events.commands import CreditedLine, CreditInvoice

        much: list[str | None] = [format(each, "f") for each in quantity or ()] or [None] * len(
            line or ()
        )
        lines = tuple(
            CreditedLine.model_validate({"line_no": at, "quantity": each})
            for at, each in zip(line or (), much, strict=True)
        )
        said: dict[str, Any] = said_by(actor, reason) | {"to": "reissue" if reissue else to}
        head = read_books(data, lambda connection: invoice(connection, number, billing_company))
        command = CreditInvoice(
            **said,
            billing_company=head["billing_company"],
            invoice_number=number,
            lines=lines,
            invoice_date=invoice_date,
        )
        ask(screen, data, command, timeout, show=lambda result: _show(screen, result))


def _show(screen: Screen, result: "CommandResult") -> None:
    """What was credited, and where its file is."""
    details = result.details
    screen.table(details["listed"], CREDITED, title=f"credited of {details['credits']}")
    screen.shortened(len(details["listed"]), details["lines"], "backoffice invoices show")
    if details["batch_id"]:
        screen.say(
            f"its files: backoffice batch download {details['batch_id']} --format pdf --out credits/",
            "dim",
        )
