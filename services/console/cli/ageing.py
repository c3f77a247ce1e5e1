"""`backoffice invoices ageing`: what debtors owe, and for how long it is past due."""

from datetime import date
from typing import Annotated

import typer

from services.console.cli.command import Run, command
from services.console.cli.invoices import app
from services.console.cli.options import Company, parsed, read_date
from services.console.cli.output import Column
from services.console.columns.disputes import disputed_column


def register(backoffice: typer.Typer) -> None:
    """Adds the command to `backoffice invoices`, which registers itself."""
    command(app)(ageing)


def ageing(
    run: Run,
    billing_company: Company,
    as_of: Annotated[date, parsed(read_date, "The end of this day.", "--as-of", metavar="DATE")],
) -> None:
    """Show what each debtor owes, by days past due.

    A credit is taken from the invoice that it corrects, a payment from the invoice that it pays.
    What is disputed is part of the ages; the rest is due.
    """
    from services.console.queries.ageing import ageing as outstanding

    found = run.read(outstanding, billing_company, as_of)
    run.document(found)
    columns = [
        Column("account_name", most=40),
        Column("documents", figures=True),
        *(Column(age, age, figures=True) for age in (*found["ages"], "total")),
        *disputed_column(found["debtors"]),
        Column("currency", ""),
    ]
    run.table(
        found["debtors"],
        columns,
        title=f"days past due on {as_of}",
        empty=f"no debtor of {billing_company} owes anything on {as_of}",
    )
    run.table(found["totals"], columns, title="all debtors")
