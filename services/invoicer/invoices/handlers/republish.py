"""Says again what was said: batches and invoices since a day, or the invoices of one document. Consumers know repeats by their ids."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.invoices.store import messages as announced
from shared.consumer.commands import Answer
from shared.errors import Refused
from shared.events.commands import Republish


async def on_republish(connection: AsyncConnection, command: Republish) -> Answer:
    """Puts what was announced among the in the outbox once more."""
    if command.since is None and command.document_id is None:
        raise Refused(
            "nothing_named",
            "republish needs to know what",
            "give a document id, or a day with --since",
        )
    batches: list[str] = []
    if command.document_id is not None:
        invoices = await announced.invoices_of(
            connection, command.document_kind, command.document_id
        )
        what = f"the invoices of {command.document_id}"
    else:
        assert command.since is not None
        batches, invoices = (
            await announced.batches_since(connection, command.since),
            await announced.invoices_since(connection, command.since),
        )
        what = f"what was closed since {command.since}"
    if not batches and not invoices:
        raise Refused(
            "nothing_to_say",
            f"{what}: nothing was announced",
            "see `backoffice batch list` and `backoffice invoices search`",
        )
    counts = {"batch": len(batches), "invoice": len(invoices)}
    pending = [*(("batch", an_id) for an_id in batches), *announced.invoice_chunks(invoices)]
    return Answer(
        f"{what}: {len(batches)} batches and {len(invoices)} invoices are said again",
        details=counts,
        publish_after=pending,
    )
