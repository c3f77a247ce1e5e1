"""Says again what was said: batches and invoices since a day, or the invoices of one document. Consumers know repeats by their ids."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.store import announced
from shared.consumer.commands import Answer
from shared.errors import Refused
from shared.events.commands import Republish


async def on_republish(connection: AsyncConnection, command: Republish) -> Answer:
    """Puts what was announced among the unsaid once more."""
    if command.since is None and command.document_id is None:
        raise Refused("nothing_named", "republish needs to know what", "give a document id, or a day with --since")
    if command.document_id is not None:
        ids = await announced.announced_of(connection, command.document_kind, command.document_id)
        what = f"the invoices of {command.document_id}"
    else:
        assert command.since is not None
        ids = await announced.announced_since(connection, command.since)
        what = f"what was closed since {command.since}"
    if not ids:
        raise Refused("nothing_to_say", f"{what}: nothing was announced", "see `backoffice batch list` and `backoffice invoices search`")
    counts = {kind: sum(1 for one, _ in ids if one == kind) for kind in ("batch", "invoice")}
    return Answer(f"{what}: {counts['batch']} batches and {counts['invoice']} invoices are said again", details=counts, unsaid=ids)
