"""`backoffice batch groups`: the batch groups of a cut-off, and what a batch of each would take."""

from typing import Any

import typer

from services.console.cli.batches import app
from services.console.cli.command import Run, command
from services.console.cli.options import LONG_SECONDS, Company, CutOffOrToday
from services.console.cli.output import Screen
from services.console.columns.groups import DEBTORS, GROUPS, STATES, group_row


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
        [group_row(group) for group in groups],
        GROUPS,
        title="batch groups",
        empty="nothing is open, held or expected",
    )
    for group in groups:
        listed = group["listed"]
        rows = [group_row(debtor) | {"state": STATES[debtor["state"]]} for debtor in listed]
        cycle = f", {group['first_day']} to {group['last_day']}" if group["first_day"] else ""
        screen.table(rows, DEBTORS, title=f"{group['group']}{cycle}")
    hidden = details["debtors_not_listed"]
    if hidden:
        screen.say(f"{hidden:,} more debtors are counted in their groups and not listed", "dim")
    if groups:
        narrowed = "--group NAME --exclude-debtor ACCOUNT_NAME"
        screen.say(f"to bill some only: backoffice batch preview ... {narrowed}", "dim")
