"""`backoffice time-groups set|list`: billing cycles, which debtors of any billing company may
have.
"""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import option, parsed, read_date
from services.console.cli.output import Screen
from services.console.columns.time_groups import GROUPS, group_cells

if TYPE_CHECKING:
    from services.console.importing.csv_rows import Problems

app = typer.Typer(help="Billing cycles.", no_args_is_help=True)
CYCLES = "weekly|fortnightly|monthly|custom|non-date"


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="time-groups")


@command(app, "set", sends=True)
def set_time_group(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    cycle: Annotated[str, typer.Option(metavar=CYCLES, help="When debtors are billed.")],
    ends_on: Annotated[
        str | None, option("weekly: the last day, e.g. sunday.", metavar="WEEKDAY")
    ] = None,
    anchor: Annotated[
        date | None, parsed(read_date, "fortnightly: the last day of one cycle.", metavar="DATE")
    ] = None,
    file: Annotated[
        Path | None,
        option(
            "custom: columns first_day and last_day.",
            "--file",
            metavar="FILE.csv",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Create a billing cycle, or change it."""
    from services.console.importing.terms import read_periods

    periods: list[dict[str, Any]] = []
    if file is not None:
        periods, problems = read_periods(file)
        refuse_wrong_lines(run, file, problems)
    run.send(
        "set-time-group",
        show=run.facts,
        time_group=name,
        cycle=cycle,
        ends_on=None if ends_on is None else ends_on.lower(),
        anchor=anchor,
        periods=periods,
    )


def refuse_wrong_lines(
    screen: Screen,
    file: Path,
    problems: "Problems",
    nothing: str = "nothing was changed",
    fix: str = "correct the lines named above",
) -> None:
    """Refuses a file, or a folder of files, and names what is wrong by line.

    Returns if nothing is.
    """
    if not problems.count:
        return
    for problem in problems.shown:
        screen.aside(str(problem), "red")
    if problems.count > len(problems.shown):
        screen.aside(f"... and {problems.count - len(problems.shown):,} more")
    names = ("file", "line", "column", "message")
    found = [{name: getattr(one, name) for name in names} for one in problems.shown]
    many = "one thing is wrong" if problems.count == 1 else f"{problems.count:,} things are wrong"
    details = {"count": problems.count, "problems": found}
    screen.refuse("wrong_rows", f"{many} in {file}; {nothing}", fix, details)


@command(app, "list")
def list_time_groups(run: Run) -> None:
    """List the billing cycles, and how many debtors have each."""
    from services.console.queries.debtors import time_groups

    groups = run.read(time_groups)
    run.document({"time_groups": groups})
    run.table(
        [group_cells(group) for group in groups],
        GROUPS,
        empty="no time group yet: `backoffice time-groups set NAME --cycle weekly --ends-on"
        " sunday`",
    )
