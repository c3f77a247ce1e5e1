"""`backoffice invoices ageing`: what debtors owe, and for how long it is past due."""

from datetime import date
from typing import Annotated

import typer

from services.console.cli.invoices import app
from services.console.cli.options import AsJson, Company, Data, read_date
from services.console.cli.output import Column, screen_for
from services.console.cli.send_command import read_books


def register(backoffice: typer.Typer) -> None:
    """Adds the command to `backoffice invoices`, which registers itself."""
    app.command()(ageing)


def ageing(
    billing_company: Company,
    as_of: Annotated[
        date,
        typer.Option(
            "--as-of",
            parser=read_date,
            metavar="DATE",
            help="As the books stood at the end of this day.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """What each debtor owes by days past due. Credits are taken from the invoice that they correct, payments from the one that they pay."""
    with screen_for(as_json) as screen:
        from services.console.client.ageing import ageing as outstanding

        found = read_books(data, lambda connection: outstanding(connection, billing_company, as_of))
        screen.document(found)
        ages = [Column(age, age, figures=True) for age in (*found["ages"], "total")]
        columns = [
            Column("account_name", most=40),
            Column("documents", figures=True),
            *ages,
            Column("currency", ""),
        ]
        screen.table(
            found["debtors"],
            columns,
            title=f"days past due on {as_of}",
            empty=f"nobody owes {billing_company} anything on {as_of}",
        )
        screen.table(found["totals"], columns, title="all debtors")
