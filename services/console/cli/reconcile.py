"""`backoffice reconcile`: compares an accounting system with what was said and with our books, and lists where they differ."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.options import Actor, AsJson, Data, Reason
from services.console.cli.output import Column, Screen, screen_for
from services.console.cli.send_command import read_books, said_by, send

if TYPE_CHECKING:
    from shared.events.commands import Reconcile

DRIFTS = [
    Column("invoice_number", "number"),
    Column("code"),
    Column("remote_id", "there"),
    Column("message", most=400),
    Column("fix", "to fix it", most=400),
]
ANSWER_SECONDS = 120.0
LOOK_SECONDS = 0.5
ENDED = ("done", "failed")


def register(backoffice: typer.Typer) -> None:
    """Adds the command to `backoffice`."""
    backoffice.command()(reconcile)


def reconcile(
    ledger: Annotated[str, typer.Option(help="Name of the connection.", show_default=False)],
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="How long to wait for its end; it goes on without us."
        ),
    ] = 3600.0,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Compare what was said, our documents and the accounting system. Nothing is changed; each drift has a proposed fix. Exit 1 if not all was read."""
    with screen_for(as_json) as screen:
        from services.console.client.drifts import open_drifts
        from shared.events.commands import Reconcile

        run_id = _asked(
            screen, data, Reconcile.model_validate({**said_by(actor, reason), "ledger": ledger})
        )
        run = _awaited(data, run_id, timeout)
        drifts = read_books(data, lambda connection: open_drifts(connection, ledger))
        outcome = run["state"] if run["state"] in ENDED else "running"
        names = ("ledger", "run_id", "documents", "unread", "message")
        screen.document(
            {"outcome": outcome, **{name: run[name] for name in names}, "drifts": drifts}
        )
        screen.table(drifts, DRIFTS, empty=f"no drift is open in {ledger}")
        if outcome == "running":
            screen.no(
                "not_ended",
                f"{run['documents']} documents are compared so far; {run['message']}",
                "it goes on by itself: ask again later",
            )
        if outcome == "failed" or run["unread"]:
            screen.no(
                "not_all_read",
                run["message"],
                f"see `backoffice ledger status {ledger}`, then reconcile again",
            )
        screen.say(run["message"])


def _asked(screen: Screen, data: Path | None, command: "Reconcile") -> int:
    (result,) = send(screen, data, [command], ANSWER_SECONDS)
    if result.outcome == "refused":
        screen.document(result.model_dump(mode="json"))
        screen.no(result.code, result.message, result.fix)
    return int(result.details["run_id"])


def _awaited(data: Path | None, run_id: int, timeout: float) -> dict[str, Any]:
    from services.console.client.drifts import reconciliation

    last = time.monotonic() + timeout
    while True:
        found = read_books(data, lambda connection: reconciliation(connection, run_id))
        if found["state"] in ENDED or time.monotonic() > last:
            return dict(found)
        time.sleep(LOOK_SECONDS)
