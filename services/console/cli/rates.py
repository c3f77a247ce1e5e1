"""`backoffice rates set|import|impact|confirm|list`: bill rates by command, and what a change of
them does to invoiced lines.
"""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.command import ANSWER_SECONDS, Run, command
from services.console.cli.command_lines import send_lines
from services.console.cli.options import (
    LONG_SECONDS,
    Check,
    Limit,
    file_argument,
    option,
    parsed,
    read_date,
    read_decimal,
)
from services.console.cli.output import Screen
from services.console.columns.rates import EFFECT, RATES, rate_cells

app = typer.Typer(
    help="Bill rates, and what a change of them does to invoiced lines.", no_args_is_help=True
)

Requirement = Annotated[str, typer.Argument(metavar="REQUIREMENT")]
TimeType = Annotated[str, option("e.g. REG, OT.", "--time-type", metavar="T")]
From = Annotated[
    date,
    parsed(read_date, "The first work date of the rate.", "--effective-from", metavar="DATE"),
]
Preview = Annotated[bool, typer.Option("--preview", help="Show the effect and change nothing.")]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="rates")


@command(app, "set", sends=True, timeout=ANSWER_SECONDS)
def set_rate(
    run: Run,
    requirement: Requirement,
    time_type: TimeType,
    effective_from: From,
    bill_rate: Annotated[
        Decimal, parsed(read_decimal, "Price of one unit.", "--bill-rate", metavar="P")
    ],
    preview: Preview = False,
) -> None:
    """Set a bill rate. Open lines are priced again at once.

    Lines on documents keep their price until `rates confirm`.
    """
    from shared.money import plain

    run.send(
        "set-bill-rate",
        show=lambda details: _show(run, details),
        requirement_id=requirement,
        time_type=time_type,
        effective_from=effective_from,
        bill_rate=plain(bill_rate),
        preview=preview,
    )


@command(app, "import", sends=True, timeout=LONG_SECONDS)
def import_rates(
    run: Run,
    file: Annotated[Path, file_argument("Columns as in `backoffice template rates`.", "FILE.csv")],
    check: Check = False,
) -> None:
    """Set bill rates from a CSV file. If a line is wrong, nothing is sent. Give a --reason."""
    from services.console.importing.rates import read_bill_rates

    send_lines(run, file, *read_bill_rates(file, run.new_command), check=check)


@command(app, sends=True, timeout=ANSWER_SECONDS)
def impact(
    run: Run,
    requirement: Annotated[
        str | None, option("Only this requirement.", "--requirement", metavar="R")
    ] = None,
) -> None:
    """Show the lines on documents whose price differs from the rate in force: old, new and net
    amounts.
    """
    run.send("rates-impact", show=lambda details: _show(run, details), requirement_id=requirement)


@command(app, sends=True, timeout=ANSWER_SECONDS)
def confirm(
    run: Run,
    requirement: Requirement,
    time_type: TimeType,
    effective_from: From,
    preview: Preview = False,
) -> None:
    """Apply a change of rates to invoiced lines: the next batch credits the old price and bills
    the new one.
    """
    run.send(
        "confirm-rates",
        show=lambda details: _show(run, details),
        requirement_id=requirement,
        time_type=time_type,
        effective_from=effective_from,
        preview=preview,
    )


@command(app, "list")
def list_rates(run: Run, requirement: Requirement, limit: Limit = 200) -> None:
    """List the rate versions of a requirement: price, source, actor, rate books, and who
    confirmed each.
    """
    from services.console.queries.rates import rates

    found = run.read(rates, requirement, limit)
    run.document({"requirement_id": requirement, "rates": found})
    run.table(
        [rate_cells(row) for row in found], RATES, empty=f"no bill rate of {requirement} is known"
    )


def _show(screen: Screen, details: dict[str, Any]) -> None:
    """The tables of a result, from the finest to the sum."""
    for name, (title, columns) in EFFECT.items():
        if details.get(name):
            screen.table(details[name], columns, title=title)
