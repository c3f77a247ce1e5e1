"""`backoffice batch parked|retry-parked`: debtors that a batch left out because something is
wrong with them.
"""

from typing import Annotated, Any

import typer

from services.console.cli.batch_tables import show_batch_result
from services.console.cli.batches import app
from services.console.cli.command import Run, command
from services.console.cli.options import LONG_SECONDS, Limit
from services.console.cli.output import Column

BatchId = Annotated[str, typer.Argument(metavar="ID", help="Id of a batch.")]
PARKED = [
    Column("account_name", most=40),
    Column("code"),
    Column("message", most=400),
    Column("billed_in_batch", "billed since in"),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice batch`."""
    command(app)(parked)
    command(app, "retry-parked", sends=True, timeout=LONG_SECONDS)(retry_parked)


def parked(run: Run, batch_id: BatchId, limit: Limit = 200) -> None:
    """List the debtors that a batch parked, each with its reason and the batch that billed it
    since.
    """
    from services.console.queries.batches import batch, parked_debtors

    async def read(connection: Any) -> dict[str, Any]:
        company = (await batch(connection, batch_id))["billing_company"]
        debtors = await parked_debtors(connection, batch_id, limit)
        return {"batch_id": batch_id, "billing_company": company, "parked": debtors}

    found = run.read(read)
    run.document(found)
    run.table(found["parked"], PARKED, empty=f"batch {batch_id} parked no debtor")
    if any(row["billed_in_batch"] is None for row in found["parked"]):
        run.say(f"when it is fixed: backoffice batch retry-parked {batch_id}", "dim")


def retry_parked(run: Run, batch_id: BatchId) -> None:
    """Bill the debtors that a batch parked, by the same cut-off, as a batch of its own."""
    from services.console.queries.batches import batch

    company = run.read(batch, batch_id)["billing_company"]
    run.send(
        "retry-parked",
        show=lambda details: show_batch_result(run, details),
        billing_company=company,
        batch_id=batch_id,
    )
