"""`backoffice reconcile`: compares the documents in an accounting system with ours, and lists
the differences.
"""

from typing import Annotated

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import LONG_SECONDS, option
from services.console.cli.output import Column

DRIFTS = [
    Column("invoice_number", "number"),
    Column("code"),
    Column("remote_id", "there"),
    Column("message", most=400),
    Column("fix", "to fix it", most=400),
]
ENDED = ("done", "failed")


def register(backoffice: typer.Typer) -> None:
    """Adds the command to `backoffice`."""
    command(backoffice, sends=True)(reconcile)


def reconcile(
    run: Run,
    ledger: Annotated[str, option("Name of the connection.")],
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="How long to wait for the end; it goes on after that."
        ),
    ] = LONG_SECONDS,
) -> None:
    """Compare published documents, stored documents and the accounting system. Nothing is changed.

    Each difference has a proposed fix. Exit 1 if a document could not be read.
    """
    from services.console.queries.reconciliation import open_drifts, reconciliation

    run_id = int(run.start("reconcile", ledger=ledger)["run_id"])
    found = run.read_until(
        lambda row: row["state"] in ENDED, lambda: run.read(reconciliation, run_id), timeout
    )
    drifts = run.read(open_drifts, ledger)
    outcome = found["state"] if found["state"] in ENDED else "running"
    names = ("ledger", "run_id", "documents", "unread", "message")
    run.document({"outcome": outcome, **{name: found[name] for name in names}, "drifts": drifts})
    run.table(drifts, DRIFTS, empty=f"no difference is open in {ledger}")
    if outcome == "running":
        run.no(
            "not_ended",
            f"{found['documents']} documents are compared so far; {found['message']}",
            "it goes on: run the command again later",
        )
    if outcome == "failed" or found["unread"]:
        run.no(
            "not_all_read",
            found["message"],
            f"see `backoffice ledger status {ledger}`, then reconcile again",
        )
    run.say(found["message"])
