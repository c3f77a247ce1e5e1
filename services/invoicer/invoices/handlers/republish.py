"""Publishes `batch-generated` and `invoice-closed` again: since a day, or of one source document.

Consumers recognize the repeats by their ids.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.invoices.store import messages
from shared.consumer.commands import Answer
from shared.errors import Refused
from shared.events.commands import Republish


async def on_republish(connection: AsyncConnection, command: Republish) -> Answer:
    """Put the ids of published messages into the outbox again."""
    batches: list[str] = []
    if command.document_id is not None:
        what = f"the invoices of {command.document_id}"
        kind, document_id = command.document_kind, command.document_id
        invoices = await messages.invoices_of(connection, kind, document_id)
    elif command.since is not None:
        what = f"what was closed since {command.since}"
        batches, invoices = await messages.closed_since(connection, command.since)
    else:
        raise Refused(
            "nothing_named",
            "the command does not name what to publish again",
            "give a document id, or a day with --since",
        )
    if not batches and not invoices:
        raise Refused(
            "nothing_to_say",
            f"{what}: nothing was published",
            "see `backoffice batch list` and `backoffice invoices search`",
        )
    return Answer(
        f"{what}: {len(batches)} batches and {len(invoices)} invoices are published again",
        details={"batch": len(batches), "invoice": len(invoices)},
        publish_after=[
            *(("batch", batch_id) for batch_id in batches),
            *messages.invoice_chunks(invoices),
        ],
    )
