"""`backoffice assignments set|list|end|confirm|import`: what nodes are billed for on due dates."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

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
from services.console.cli.output import Screen
from services.console.columns.assignments import ASSIGNMENTS, OCCURRENCES, due

app = typer.Typer(
    help="Catalog items that a company, client or office is billed for.", no_args_is_help=True
)
DAY: dict[str, Any] = {"metavar": "DAY", "min": 1, "max": 31}
Assignment = Annotated[str, typer.Argument(metavar="ID")]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="assignments")


@command(app, "set", sends=True)
def set_assignment(
    run: Run,
    assignment: Assignment,
    billing_company: Company,
    node: Annotated[
        str, option("Company, client or office that is billed.", "--node", metavar="NODE")
    ],
    item: Annotated[
        str, option("A non-placement product of the catalog.", "--item", metavar="ITEM")
    ],
    price: Annotated[
        Decimal | None,
        parsed(read_decimal, "Price (default: the item's amount of today).", metavar="P"),
    ] = None,
    currency: Annotated[str | None, option("Currency of the price.", metavar="CUR")] = None,
    on: Annotated[date | None, parsed(read_date, "Due once.", "--on", metavar="DATE")] = None,
    monthly: Annotated[
        int | None,
        option("Due on this day of each month, or its last.", **DAY),
    ] = None,
    quarterly: Annotated[int | None, option("Due on this day of every third month.", **DAY)] = None,
    dates: Annotated[str | None, option("Due on these dates.", metavar="D,D,...")] = None,
    from_date: Annotated[
        date | None,
        parsed(
            read_date,
            "From when these terms hold (default: today; with --on or --dates the beginning).",
            "--from",
            metavar="DATE",
        ),
    ] = None,
    until: Annotated[
        date | None, parsed(read_date, "The last date.", "--until", metavar="DATE")
    ] = None,
    plan: Annotated[
        str | None,
        option("Pay plan; day 1 is the due date: '50@1 50@31'.", "--plan", metavar="PLAN"),
    ] = None,
    po: Annotated[str, option("Purchase order number.", "--po", metavar="PO")] = "",
    text: Annotated[str, option("Text on the document (default: the item's name).")] = "",
) -> None:
    """Assign a product to a node, or change that from a date on. What is open is priced again."""
    from services.console.importing.assignments import read_dates
    from services.console.importing.catalog import pay_plan

    run.send(
        "set-assignment",
        assignment_id=assignment,
        billing_company=billing_company,
        node_id=node,
        item_id=item,
        price=price,
        currency=currency,
        on_date=on,
        monthly_day=monthly,
        quarterly_day=quarterly,
        dates=_read(read_dates, dates, "--dates") or (),
        from_date=from_date,
        until_date=until,
        plan=_read(pay_plan, plan, "--plan"),
        po_number=po,
        text=text,
    )


def _read(read: Callable[[str], Any], text: str | None, option: str) -> Any:
    """The value of an option, or wrong use."""
    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


@command(app, "list")
def list_assignments(run: Run, billing_company: AnyCompany = None, limit: Limit = 100) -> None:
    """List what is assigned from each date on, with its occurrences."""
    from services.console.queries.assignments import assignments

    found, total = run.read(assignments, billing_company, limit)
    rows = [row | {"due": due(row["schedule"])} for row in found]
    run.page(
        "assignments", rows, total, ASSIGNMENTS, "no assignment: backoffice assignments set --help"
    )


@command(app, sends=True)
def end(
    run: Run,
    assignment: Assignment,
    on: Annotated[
        date, parsed(read_date, "The last date on which it may be due.", "--on", metavar="DATE")
    ],
) -> None:
    """End an assignment. Open occurrences that are due later are withdrawn."""
    run.send("end-assignment", assignment_id=assignment, last_date=on)


@command(app, sends=True)
def confirm(
    run: Run,
    assignment: Assignment,
    from_date: Annotated[
        date, parsed(read_date, "The date from which the price was set.", "--from", metavar="DATE")
    ],
    preview: Annotated[
        bool, typer.Option("--preview", help="Show the effect and change nothing.")
    ] = False,
) -> None:
    """Apply a price to invoiced occurrences: the next batch credits the old one and bills this."""
    run.send(
        "confirm-assignment",
        show=lambda details: _show(run, details),
        assignment_id=assignment,
        from_date=from_date,
        preview=preview,
    )


def _show(screen: Screen, details: dict[str, Any]) -> None:
    screen.table(details.get("occurrences", []), OCCURRENCES)


@command(app, "import", sends=True)
def import_assignments(
    run: Run,
    file: Annotated[
        Path, file_argument("Columns as in `backoffice template assignments`.", "FILE.csv")
    ],
    check: Check = False,
) -> None:
    """Set assignments from a CSV file. If a line is wrong, nothing is sent."""
    from services.console.importing.assignments import read_assignments

    send_lines(run, file, *read_assignments(file, run.new_command), check=check)
