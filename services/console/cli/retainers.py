"""`backoffice retainers list|keep|credit`: retainers, and what no fee takes of them."""

from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import AnyCompany, Limit
from services.console.columns.retainers import RETAINERS

app = typer.Typer(
    help="Retainers of requirements, and what no fee takes of them.", no_args_is_help=True
)
Requirement = Annotated[
    str, typer.Argument(metavar="REQUIREMENT", help="The requirement of the retainer.")
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="retainers")


@command(app, "list")
def list_retainers(run: Run, billing_company: AnyCompany = None, limit: Limit = 100) -> None:
    """List retainers with what placements take off them. `left`: what no fee takes, undecided."""
    from services.console.queries.retainers import retainers

    found = run.read(retainers, billing_company, limit)
    run.page("retainers", *found, RETAINERS, "no retainer: a requirement may have one")


@command(app, sends=True)
def keep(run: Run, requirement: Requirement) -> None:
    """Keep what no fee takes of a retainer. It needs a reason."""
    _settle(run, requirement, excess="keep")


@command(app, sends=True)
def credit(run: Run, requirement: Requirement) -> None:
    """Credit what no fee takes of a retainer: the next batch does. It needs a reason."""
    _settle(run, requirement, excess="credit")


def _settle(run: Run, requirement: str, **decision: Any) -> None:
    run.send("settle-retainer", requirement_id=requirement, **decision)
