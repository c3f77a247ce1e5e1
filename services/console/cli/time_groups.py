"""`backoffice time-groups set|list`: billing cycles, which debtors of any billing company may have."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.options import Actor, AsJson, Data, Reason, read_date
from services.console.cli.output import Column, Screen, screen_for
from services.console.cli.send_command import ask, read_books, said_by

if TYPE_CHECKING:
    from services.console.importing.sheets import Problems
    from shared.events.commands import Period

app = typer.Typer(help="Billing cycles.", no_args_is_help=True)
CYCLES = "weekly|fortnightly|monthly|custom|non-date"
GROUPS = [
    Column("time_group", "name"),
    Column("cycle"),
    Column("ends_on", "ends on"),
    Column("anchor", "a cycle ends on"),
    Column("periods", figures=True),
    Column("until", "periods until"),
    Column("debtors", figures=True),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="time-groups")


@app.command("set")
def set_time_group(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    cycle: Annotated[str, typer.Option(metavar=CYCLES, help="How the debtor is billed.")],
    ends_on: Annotated[
        str | None,
        typer.Option(
            metavar="WEEKDAY",
            help="weekly: the day on which it ends, e.g. sunday.",
            show_default=False,
        ),
    ] = None,
    anchor: Annotated[
        date | None,
        typer.Option(
            parser=read_date,
            metavar="DATE",
            help="fortnightly: the last day of one cycle.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE.csv",
            exists=True,
            dir_okay=False,
            help="custom: columns first_day and last_day.",
            show_default=False,
        ),
    ] = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a billing cycle, or give it another definition."""
    with screen_for(as_json) as screen:
        from shared.events.commands import SetTimeGroup

        command = SetTimeGroup(
            **said_by(actor, reason),
            time_group=name,
            cycle=cycle,  # type: ignore[arg-type]  # the model checks the words and says which there are
            ends_on=None if ends_on is None else ends_on.lower(),  # type: ignore[arg-type]
            anchor=anchor,
            periods=() if file is None else _periods(screen, file),
        )
        ask(screen, data, command, show=lambda result: screen.facts(result.details))


def _periods(screen: Screen, file: Path) -> "tuple[Period, ...]":
    from services.console.importing.terms import read_periods

    periods, problems = read_periods(file)
    refuse_wrong_lines(screen, file, problems)
    return periods


def refuse_wrong_lines(screen: Screen, file: Path, problems: "Problems") -> None:
    """Says all that is wrong in a file, line by line, before anything is sent."""
    if not problems.count:
        return
    for problem in problems.shown:
        screen.aside(str(problem), "red")
    found = [
        {"file": one.file, "line": one.line, "column": one.column, "message": one.message}
        for one in problems.shown
    ]
    many = "one thing is wrong" if problems.count == 1 else f"{problems.count:,} things are wrong"
    screen.refuse(
        "wrong_rows",
        f"{many} in {file}; nothing was changed",
        "fix the lines named above",
        {"count": problems.count, "problems": found},
    )


@app.command("list")
def list_time_groups(as_json: AsJson = False, data: Data = None) -> None:
    """List the billing cycles, and how many debtors have each."""
    with screen_for(as_json) as screen:
        from services.console.client.debtors import time_groups

        groups: list[dict[str, Any]] = read_books(data, time_groups)
        screen.document({"time_groups": groups})
        rows = [
            group
            | {
                "periods": len(group["periods"]) or None,
                "until": group["periods"][-1]["last_day"] if group["periods"] else None,
            }
            for group in groups
        ]
        screen.table(
            rows,
            GROUPS,
            empty="no time group yet: `backoffice time-groups set NAME --cycle weekly --ends-on sunday`",
        )
