"""`backoffice batch what-if`: several cut-offs side by side over the same state."""

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.batches import app
from services.console.cli.options import (
    LONG_SECONDS,
    Actor,
    AsJson,
    Company,
    Data,
    Reason,
    Timeout,
    read_date,
)
from services.console.cli.output import Column, Screen, screen_for
from services.console.cli.send_command import ask, said_by

if TYPE_CHECKING:
    from shared.events.billing import CommandResult

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


def register(backoffice: typer.Typer) -> None:
    """Adds this command to `backoffice batch`."""
    app.command("what-if")(what_if)


def what_if(
    billing_company: Company,
    cut_off: Annotated[
        list[date],
        typer.Option(
            "--cut-off",
            parser=read_date,
            metavar="DATE",
            help="A cut-off date; give several.",
            show_default=False,
        ),
    ],
    timeout: Timeout = LONG_SECONDS,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """What a batch would bill by each cut-off: documents, lines, money, and which lines make the difference, with the reason. Nothing is written."""
    with screen_for(as_json) as screen:
        from shared.events.commands import WhatIf

        command = WhatIf(
            **said_by(actor, reason), billing_company=billing_company, cut_off_dates=tuple(cut_off)
        )
        ask(screen, data, command, timeout, show=lambda result: _show(screen, result))


def _show(screen: Screen, result: "CommandResult") -> None:
    details = result.details
    rows: list[dict[str, Any]] = []
    for each in details["cut_offs"]:
        nothing = [{"documents": 0, "lines": 0}]
        rows += [
            {"cut_off_date": each["cut_off_date"]} | total for total in each["totals"] or nothing
        ]
    screen.table(rows, [Column("cut_off_date", "cut-off"), *SUMS])
    screen.table(
        details["debtors"],
        [Column("account_name", most=40), Column("cut_off_date", "cut-off"), *SUMS],
        title="debtors that differ",
    )
    screen.table(
        details["differences"],
        DIFFERENCES,
        title="lines that make the difference",
        empty="the cut-offs take the same lines",
    )
    for name in ("debtors", "differences"):
        screen.shortened(len(details[name]), len(details[name]) + details[f"{name}_not_listed"])
