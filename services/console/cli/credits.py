"""`backoffice credit`: credits an invoice by hand; the credit note closes at once."""

from datetime import date
from decimal import Decimal
from itertools import zip_longest
from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import LONG_SECONDS, option, parsed, read_date, read_decimal
from services.console.cli.output import Column, Screen

USES = ("rebill", "write-off")
CREDITED = [
    Column("line_no", "line", ids=True),
    Column("document_id", "document", most=36),
    Column("quantity", figures=True),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("left", figures=True),
    Column("left_net", "left net", figures=True),
]


def register(backoffice: typer.Typer) -> None:
    """Adds the command to `backoffice`."""
    command(backoffice, sends=True, timeout=LONG_SECONDS)(credit)


def credit(
    run: Run,
    number: Annotated[str, typer.Argument(metavar="INVOICE_NUMBER")],
    line: Annotated[
        list[int] | None,
        option("A line of it; may be repeated (default: all that is left).", min=1, metavar="N"),
    ] = None,
    quantity: Annotated[
        list[Decimal] | None,
        parsed(
            read_decimal,
            "How much of the line before it (default: all that is left).",
            metavar="Q",
        ),
    ] = None,
    to: Annotated[
        str | None, option("Bill it again, or forgive it.", metavar="|".join(USES))
    ] = None,
    reissue: Annotated[
        bool,
        typer.Option(
            "--reissue",
            help="Credit all of it and open its lines again, also what was written off.",
        ),
    ] = False,
    invoice_date: Annotated[
        date | None,
        typer.Option(
            parser=read_date, metavar="DATE", help="Date of the credit note (default: today)."
        ),
    ] = None,
    billing_company: Annotated[
        str | None, option("Needed where two billing companies have the number.", metavar="ID")
    ] = None,
) -> None:
    """Credit lines of an invoice, or all of it. To undo a credit, issue a further document."""
    if reissue == (to is not None) or (to is not None and to not in USES):
        raise typer.BadParameter(
            f"give --to {' or --to '.join(USES)}, or --reissue", param_hint="--to"
        )
    if reissue and line:
        raise typer.BadParameter(
            "--reissue credits the whole invoice: name no lines", param_hint="--line"
        )
    if quantity and len(quantity) != len(line or ()):
        raise typer.BadParameter(
            "give each --line its --quantity, in the same order, or give no quantity",
            param_hint="--quantity",
        )
    if not run.reason.strip():
        raise typer.BadParameter("a credit by hand needs a reason", param_hint="--reason")
    from services.console.queries.invoices import invoice

    numbers = line or []
    lines = [{"line_no": at, "quantity": each} for at, each in zip_longest(numbers, quantity or ())]
    fields: dict[str, Any] = {
        "invoice_number": number,
        "lines": lines,
        "to": "reissue" if reissue else to,
        "invoice_date": invoice_date,
    }
    # Wrong use ends here, before the invoice is read.
    run.new_command("credit-invoice", billing_company="unknown", **fields)
    company = run.read(invoice, number, billing_company)["billing_company"]
    run.send(
        "credit-invoice",
        show=lambda details: _show(run, details),
        billing_company=company,
        **fields,
    )


def _show(screen: Screen, details: dict[str, Any]) -> None:
    """What was credited, and where its file is."""
    screen.table(details["listed"], CREDITED, title=f"credited of {details['credits']}")
    screen.shortened(len(details["listed"]), details["lines"], "backoffice invoices show")
    if details["batch_id"]:
        download = f"{details['batch_id']} --format pdf --out credits/"
        screen.say(f"to get its file: backoffice batch download {download}", "dim")
