"""`backoffice workflows set|show`: who approves drafts, step by step."""

from pathlib import Path
from typing import Annotated

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import option
from services.console.cli.time_groups import refuse_wrong_lines
from services.console.columns.workflows import STEPS, step_cells

app = typer.Typer(help="Approval workflows: who approves drafts.", no_args_is_help=True)


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="workflows")


@command(app, "set", sends=True)
def set_workflow(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    file: Annotated[
        Path,
        option(
            "Its steps; columns as in `backoffice template workflow`.",
            "--file",
            metavar="STEPS.csv",
            exists=True,
            dir_okay=False,
        ),
    ],
    forbid: Annotated[
        list[str] | None,
        option(
            "What is not done with a draft in a status, e.g. pending_finalization:edit."
            " May be repeated.",
            "--forbid",
            metavar="STATUS:ACTION",
        ),
    ] = None,
) -> None:
    """Set a workflow, whole. Drafts that exist keep the version that they began with."""
    from services.console.importing.workflows import read_steps

    steps, problems = read_steps(file)
    refuse_wrong_lines(run, file, problems)
    forbids = []
    for each in forbid or []:
        status, colon, action = each.partition(":")
        if not colon:
            raise typer.BadParameter(f"{each!r} is not STATUS:ACTION", param_hint="--forbid")
        forbids.append({"status": status.strip(), "action": action.strip()})
    written = [step.model_dump(mode="json") for step in steps]
    run.send("set-workflow", name=name, steps=written, forbids=forbids)


@command(app)
def show(run: Run, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Show the steps of a workflow, and its versions."""
    from services.console.queries.workflows import workflows

    versions = run.read(workflows, name)
    if not versions:
        known = ", ".join(sorted({row["name"] for row in run.read(workflows)}))
        run.refuse(
            "unknown_workflow",
            f"there is no workflow {name}" + (f"; there are {known}" if known else ""),
            f"set it: `backoffice workflows set {name} --file STEPS.csv`",
        )
    run.document({"name": name, "versions": versions})
    newest = versions[0]
    run.facts(
        {
            "workflow": name,
            "version": newest["version"],
            "set_by": newest["actor"],
            "set_at": newest["set_at"],
            "forbids": [f"{each['status']}: {each['action']}" for each in newest["forbids"]],
        }
    )
    run.table([step_cells(step) for step in newest["steps"]], STEPS)
