"""`backoffice batch what-if`: several cut-offs compared over the same state."""

from datetime import date
from typing import Annotated, Any

import typer

from services.console.cli.batches import app
from services.console.cli.command import Run, command
from services.console.cli.options import LONG_SECONDS, Company, parsed, read_date
from services.console.cli.output import Column, Screen

SUMS = [
    Column("documents", figures=True),
    Column("lines", figures=True),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("total", figures=True),
    Column("currency", ""),
]
DIFFERENCES = [
    Column("from"),
    Column("to"),
    Column("account_name", most=40),
    Column("is"),
    Column("lines", figures=True),
    Column("amount", figures=True),
    Column("currency", ""),
    Column("why", most=400),
]
CUT_OFF = Column("cut_off_date", "cut-off")


def register(backoffice: typer.Typer) -> None:
    """Adds this command to `backoffice batch`."""
    command(app, "what-if", sends=True, timeout=LONG_SECONDS)(what_if)


def what_if(
    run: Run,
    billing_company: Company,
    cut_off: Annotated[
        list[date],
        parsed(read_date, "A cut-off date; give several.", "--cut-off", metavar="DATE"),
    ],
) -> None:
    """Compare cut-off dates: documents, lines and money of each, and the lines that differ with
    the reason.
    """
    run.send(
        "what-if",
        show=lambda details: _show(run, details),
        billing_company=billing_company,
        cut_off_dates=cut_off,
    )


def _show(screen: Screen, details: dict[str, Any]) -> None:
    rows = [
        {"cut_off_date": each["cut_off_date"]} | total
        for each in details["cut_offs"]
        for total in each["totals"] or [{"documents": 0, "lines": 0}]
    ]
    screen.table(rows, [CUT_OFF, *SUMS])
    columns = [Column("account_name", most=40), CUT_OFF, *SUMS]
    screen.table(details["debtors"], columns, title="debtors that differ")
    screen.table(
        details["differences"],
        DIFFERENCES,
        title="lines that differ",
        empty="the cut-offs take the same lines",
    )
    for name in ("debtors", "differences"):
        screen.shortened(len(details[name]), len(details[name]) + details[f"{name}_not_listed"])
