"""`backoffice drafts approve|reject|reassign|routing`: what approvers do with drafts."""

from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.drafts import app
from services.console.cli.options import option
from services.console.cli.output import Column

DraftId = Annotated[
    str, typer.Argument(metavar="ID", help="D-000001, or the version seen: D-000001@2.")
]
OnBehalfOf = Annotated[
    str | None,
    option("For whom you act; both names are recorded.", "--on-behalf-of", metavar="PERSON"),
]
ROUTING = [
    Column("step", whole=True),
    Column("stage", "stage", ids=True),
    Column("mandatory", ids=True),
    Column("approver", most=80),
    Column("person", "approved as"),
    Column("actor", "by"),
    Column("approved_at", "approved"),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice drafts`."""
    for sending in (approve, reject, reassign):
        command(app, sends=True)(sending)
    command(app)(routing)


def _seen(run: Run, draft: str) -> str:
    """The draft with a version: the one named, else the present one."""
    from services.console.queries.approvals import draft_version

    return draft if "@" in draft else f"{draft}@{run.read(draft_version, draft)}"


def approve(run: Run, draft: DraftId, on_behalf_of: OnBehalfOf = None) -> None:
    """Approve a draft, in each open step in which you are an approver."""
    run.send("approve-draft", draft=_seen(run, draft), on_behalf_of=on_behalf_of)


def reject(run: Run, draft: DraftId, on_behalf_of: OnBehalfOf = None) -> None:
    """Reject a draft; needs --reason. Its items are open again, on hold until released."""
    run.send("reject-draft", draft=_seen(run, draft), on_behalf_of=on_behalf_of)


def reassign(
    run: Run,
    draft: DraftId,
    to: Annotated[str, option("Who approves instead.", "--to", metavar="PERSON")],
    step: Annotated[
        str | None, option("In which step (default: yours).", "--step", metavar="NAME")
    ] = None,
    on_behalf_of: OnBehalfOf = None,
) -> None:
    """Give your place in a step, or that of another approver, to a person."""
    run.send("reassign-draft", draft=_seen(run, draft), to=to, step=step, on_behalf_of=on_behalf_of)


def routing(run: Run, draft: DraftId) -> None:
    """Show who approves a draft, version by version, and who is next."""
    from services.console.queries.approvals import draft_routing

    found = run.read(draft_routing, draft)
    run.document(found)
    run.facts({name: found[name] for name in ("draft", "version", "status", "workflow", "next")})
    for version in found["versions"]:
        rows: list[dict[str, Any]] = version["approvers"]
        run.table(rows, ROUTING, title=f"version {version['version']}")
