"""`backoffice batch parked|retry-parked`: debtors that a batch left out because something is wrong with them."""

from typing import Annotated, Any

import typer

from services.console.cli.batches import app, show_made
from services.console.cli.options import LONG_SECONDS, Actor, AsJson, Data, Limit, Reason, Timeout
from services.console.cli.output import Column, screen_for
from services.console.cli.send_command import ask, read_books, said_by

Batch = Annotated[str, typer.Argument(metavar="ID", help="Id of a batch.")]
PARKED = [
    Column("account_name", most=40),
    Column("code"),
    Column("message", most=400),
    Column("billed_in_batch", "billed since in"),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice batch`."""
    app.command("parked")(parked)
    app.command("retry-parked")(retry_parked)


def parked(batch_id: Batch, limit: Limit = 200, as_json: AsJson = False, data: Data = None) -> None:
    """List the debtors that a batch parked, each with its reason, and the batch that billed it since."""
    with screen_for(as_json) as screen:
        from services.console.client.batches import batch, parked_debtors

        async def read(connection: Any) -> dict[str, Any]:
            head = await batch(connection, batch_id)
            return {
                "batch_id": batch_id,
                "billing_company": head["billing_company"],
                "parked": await parked_debtors(connection, batch_id, limit),
            }

        found = read_books(data, read)
        screen.document(found)
        screen.table(found["parked"], PARKED, empty=f"batch {batch_id} parked nobody")
        if any(row["billed_in_batch"] is None for row in found["parked"]):
            screen.say(f"when it is fixed: backoffice batch retry-parked {batch_id}", "dim")


def retry_parked(
    batch_id: Batch,
    timeout: Timeout = LONG_SECONDS,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Bill the debtors that a batch parked, against the same cut-off, as a batch of its own."""
    with screen_for(as_json) as screen:
        from services.console.client.batches import batch
        from shared.events.commands import RetryParked

        head = read_books(data, lambda connection: batch(connection, batch_id))
        command = RetryParked(
            **said_by(actor, reason), billing_company=head["billing_company"], batch_id=batch_id
        )
        ask(screen, data, command, timeout, show=lambda result: show_made(screen, result))
