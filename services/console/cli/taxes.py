"""`backoffice tax import`: the tax rates of a billing company from a CSV file."""

from pathlib import Path
from typing import Annotated

import typer

from services.console.cli.command import Run, command
from services.console.cli.command_lines import send_lines
from services.console.cli.options import Check, Company, file_argument

app = typer.Typer(help="Tax rates of billing companies.", no_args_is_help=True)


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="tax")


@command(app, "import", sends=True)
def import_taxes(
    run: Run,
    file: Annotated[Path, file_argument("Columns as in `backoffice template tax`.", "FILE.csv")],
    billing_company: Company,
    check: Check = False,
) -> None:
    """Set tax rates, each from a date on, from a CSV file. If a line is wrong, nothing is sent.

    The rates of a billing company are in `backoffice billing-company show ID`.
    """
    from services.console.importing.rates import read_tax_rates

    lines = read_tax_rates(file, run.new_command, billing_company)
    send_lines(run, file, *lines, check=check)
