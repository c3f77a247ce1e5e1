"""`backoffice batch groups`: which batch groups a cut-off has, and what a batch of each would take."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any

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
from services.console.cli.output import Column, Screen, fact, screen_for
from services.console.cli.send_command import ask, said_by

FIGURES = [
    Column("timesheets", "in", figures=True),
    Column("late", figures=True),
    Column("corrections", figures=True),
    Column("products", figures=True),
    Column("held", figures=True),
    Column("first_missing_step", "first missing step", most=80),
    Column("arrived", "expected"),
    Column("amount", figures=True),
    Column("kept", "kept back", figures=True),
]
GROUPS = [
    Column("group"),
    Column("cycle"),
    Column("first_day", "from"),
    Column("last_day", "to"),
    Column("debtors", figures=True),
    *FIGURES,
]
DEBTORS = [
    Column("account_name", "debtor", most=40),
    Column("state", "a batch"),
    *FIGURES,
    Column("why", most=400),
]
STATES = {
    "in": "takes it",
    "waits": "leaves its timesheets",
    "parked": "parks it",
    "nothing": "finds nothing",
}


def register(backoffice: typer.Typer) -> None:
    """Adds this command to `backoffice batch`."""
    app.command("groups")(show_groups)


def show_groups(
    billing_company: Company,
    cut_off: Annotated[
        date | None,
        typer.Option(
            "--cut-off",
            parser=read_date,
            metavar="DATE",
            help="The cut-off date (default: today there).",
            show_default=False,
        ),
    ] = None,
    timeout: Timeout = LONG_SECONDS,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """The batch groups of a cut-off: each cycle with its debtors, what is in, late, held and expected. Nothing is written."""
    with screen_for(as_json) as screen:
        from shared.events.commands import ListBatchGroups

        command = ListBatchGroups(
            **said_by(actor, reason), billing_company=billing_company, cut_off_date=cut_off
        )
        ask(screen, data, command, timeout, show=lambda result: _show(screen, result.details))


def _show(screen: Screen, details: dict[str, Any]) -> None:
    groups = details["groups"]
    screen.table(
        [_row(group) for group in groups],
        GROUPS,
        title="batch groups",
        empty="nothing is open, held or expected",
    )
    for group in groups:
        rows = [_row(debtor) | {"state": STATES[debtor["state"]]} for debtor in group["listed"]]
        cycle = f", {group['first_day']} to {group['last_day']}" if group["first_day"] else ""
        screen.table(rows, DEBTORS, title=f"{group['group']}{cycle}")
    if details["debtors_not_listed"]:
        screen.say(
            f"{details['debtors_not_listed']:,} more debtors are counted in their groups and not listed",
            "dim",
        )
    if groups:
        screen.say(
            "to bill some only: backoffice batch preview ... --group NAME --exclude-debtor ACCOUNT_NAME",
            "dim",
        )


def _row(sums: dict[str, Any]) -> dict[str, Any]:
    """What a table shows of a group or a debtor."""
    steps = ", ".join(f"{number} {code}" for code, number in sums["held_by_code"].items())
    amounts = sums["amounts"]
    seldom = {name: sums[name] or None for name in ("late", "corrections", "products", "held")}
    return (
        sums
        | seldom
        | {
            "first_missing_step": steps,
            "arrived": f"{sums['received']} of {sums['expected']} in" if sums["expected"] else "",
            "amount": ", ".join(
                f"{fact(Decimal(each['net']))} {each['currency']}"
                for each in amounts
                if each["lines"]
            ),
            "kept": ", ".join(
                f"{fact(Decimal(each['kept']))} {each['currency']}"
                for each in amounts
                if Decimal(each["kept"])
            ),
        }
    )
