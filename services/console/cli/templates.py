"""`backoffice template NAME`: an empty CSV file with every column that an import reads."""

from pathlib import Path
from typing import Annotated

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import option
from services.console.cli.output import Column

NAMES = (
    "catalog",
    "placements",
    "debtors",
    "tax",
    "rates",
    "opening-lines",
    "opening-numbers",
    "charges",
    "assignments",
    "payments",
    "workflow",
)
COLUMNS = [Column("column"), Column("holds", most=200)]


def register(backoffice: typer.Typer) -> None:
    """Adds this command to `backoffice`."""
    command(backoffice, "template")(template)


def template(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="|".join(NAMES))],
    out: Annotated[
        Path | None, option("Write it to this file; an existing file stays.", metavar="FILE")
    ] = None,
) -> None:
    """Write an empty CSV file for an import, and explain its columns."""
    from services.console.importing.assignments import ASSIGNMENTS
    from services.console.importing.catalog import CATALOG
    from services.console.importing.charges import CHARGES
    from services.console.importing.opening_columns import OPENING_LINES, OPENING_NUMBERS
    from services.console.importing.payments import PAYMENTS
    from services.console.importing.placements import PLACEMENT_COLUMNS
    from services.console.importing.rates import BILL_RATES, TAX_RATES
    from services.console.importing.terms import TERMS
    from services.console.importing.workflows import STEPS

    files = {
        "catalog": CATALOG,
        "placements": PLACEMENT_COLUMNS,
        "debtors": TERMS,
        "tax": TAX_RATES,
        "rates": BILL_RATES,
        "opening-lines": OPENING_LINES,
        "opening-numbers": OPENING_NUMBERS,
        "charges": CHARGES,
        "assignments": ASSIGNMENTS,
        "payments": PAYMENTS,
        "workflow": STEPS,
    }
    if name not in files:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(NAMES)}")
    columns = files[name]
    header = ",".join(columns)
    run.document(
        {"header": header, "columns": {each: one.explanation for each, one in columns.items()}}
    )
    if out is None:
        run.say(header)
    else:
        try:
            with out.open("x", encoding="utf-8") as file:
                file.write(header + "\n")
        except FileExistsError:
            run.refuse("file_exists", f"{out} exists", "give another name with --out")
        run.say(f"wrote {out}")
    run.table(
        [{"column": each, "holds": one.explanation} for each, one in columns.items()], COLUMNS
    )
