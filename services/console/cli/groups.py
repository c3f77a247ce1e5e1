"""`backoffice batch groups`: the batch groups of a cut-off, and what a batch of each would take."""

from decimal import Decimal
from typing import Any

import typer

from services.console.cli.batches import app
from services.console.cli.command import Run, command
from services.console.cli.options import LONG_SECONDS, Company, CutOffOrToday
from services.console.cli.output import Column, Screen, fact

SUMS = [
    Column("timesheets", "in", figures=True),
    Column("late", figures=True),
    Column("corrections", figures=True),
    Column("products", figures=True),
    Column("held", figures=True),
    Column("first_missing_step", "first missing step", most=80),
    Column("arrived", "expected"),
    Column("hours", figures=True),
    Column("amount", figures=True),
    Column("kept", "kept back", figures=True),
]
GROUPS = [
    Column("group"),
    Column("cycle"),
    Column("first_day", "from"),
    Column("last_day", "to"),
    Column("debtors", figures=True),
    *SUMS,
]
DEBTORS = [
    Column("account_name", "debtor", most=40),
    Column("state", "a batch"),
    *SUMS,
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
    command(app, "groups", sends=True, timeout=LONG_SECONDS)(show_groups)


def show_groups(run: Run, billing_company: Company, cut_off: CutOffOrToday = None) -> None:
    """Show the batch groups of a cut-off: each cycle with its debtors and what is in, late, held
    and expected.
    """
    run.send(
        "list-batch-groups",
        show=lambda details: _show(run, details),
        billing_company=billing_company,
        cut_off_date=cut_off,
    )


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
    hidden = details["debtors_not_listed"]
    if hidden:
        screen.say(f"{hidden:,} more debtors are counted in their groups and not listed", "dim")
    if groups:
        narrowed = "--group NAME --exclude-debtor ACCOUNT_NAME"
        screen.say(f"to bill some only: backoffice batch preview ... {narrowed}", "dim")


def _row(sums: dict[str, Any]) -> dict[str, Any]:
    """The row of a group or of a debtor."""
    steps = ", ".join(f"{number} {code}" for code, number in sums["held_by_code"].items())
    return (
        sums
        | {name: sums[name] or None for name in ("late", "corrections", "products", "held")}
        | {
            "first_missing_step": steps,
            "arrived": f"{sums['received']} of {sums['expected']} in" if sums["expected"] else "",
            "amount": _amounts(sums["amounts"], "net", "lines"),
            "kept": _amounts(sums["amounts"], "kept", "kept"),
        }
    )


def _amounts(amounts: list[dict[str, Any]], name: str, condition: str) -> str:
    """One amount of each currency in which the condition is not zero."""
    return ", ".join(
        f"{fact(Decimal(each[name]))} {each['currency']}"
        for each in amounts
        if Decimal(each[condition])
    )
