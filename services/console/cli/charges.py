"""`backoffice charges add|list|import`: expenses and other charges for a debtor."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from services.console.cli.command import Run, command
from services.console.cli.command_lines import send_lines
from services.console.cli.options import (
    AnyCompany,
    Check,
    Company,
    Limit,
    file_argument,
    option,
    parsed,
    read_date,
    read_decimal,
)
from services.console.columns.charges import CHARGES

app = typer.Typer(help="Expenses and other charges for a debtor.", no_args_is_help=True)


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="charges")


@command(app, sends=True)
def add(
    run: Run,
    charge: Annotated[str, typer.Argument(metavar="ID")],
    billing_company: Company,
    node: Annotated[
        str, option("Node of the billto hierarchy that is billed.", "--node", metavar="NODE")
    ],
    item: Annotated[
        str, option("A non-placement product of the catalog.", "--item", metavar="ITEM")
    ],
    quantity: Annotated[Decimal, parsed(read_decimal, "How many.", metavar="Q")],
    service_date: Annotated[
        date, parsed(read_date, "Date of the service or receipt.", metavar="DATE")
    ],
    price: Annotated[
        Decimal | None,
        parsed(read_decimal, "Price of one (default: the item's amount).", metavar="P"),
    ] = None,
    currency: Annotated[str | None, option("Currency of the price.", metavar="CUR")] = None,
    po: Annotated[str, option("Purchase order number.", "--po", metavar="PO")] = "",
    text: Annotated[str, option("Text on the document (default: the item's name).")] = "",
    receipt: Annotated[str, option("Receipt number of an expense.", metavar="R")] = "",
    recoverable_tax: Annotated[
        Decimal | None,
        parsed(
            read_decimal,
            "Tax in the price that you recover; it is taken off first.",
            metavar="PERCENT",
        ),
    ] = None,
    markup: Annotated[
        Decimal | None, parsed(read_decimal, "What is added after that.", metavar="PERCENT")
    ] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="The charge is worth nothing.")] = False,
) -> None:
    """Add a charge, or replace the one with this id. What is invoiced of it is corrected."""
    run.send(
        "add-charge",
        charge_id=charge,
        billing_company=billing_company,
        node_id=node,
        item_id=item,
        currency=currency,
        service_date=service_date,
        po_number=po,
        text=text,
        receipt=receipt,
        cancelled=cancel,
        quantity=quantity,
        price=price,
        recoverable_tax=recoverable_tax,
        markup=markup,
    )


@command(app, "list")
def list_charges(run: Run, billing_company: AnyCompany = None, limit: Limit = 100) -> None:
    """List charges, the newest first."""
    from services.console.queries.charges import charges

    found = run.read(charges, billing_company, limit)
    run.page("charges", *found, CHARGES, "no charge: backoffice charges add ID --help")


@command(app, "import", sends=True)
def import_charges(
    run: Run,
    file: Annotated[
        Path, file_argument("Columns as in `backoffice template charges`.", "FILE.csv")
    ],
    billing_company: Company,
    check: Check = False,
) -> None:
    """Add or replace charges from a CSV file. If a line is wrong, nothing is sent."""
    from services.console.importing.charges import read_charges

    lines = read_charges(file, run.new_command, billing_company)
    send_lines(run, file, *lines, check=check)
