"""The command set-catalog-item."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.catalog import store
from services.fee_realizer.facts.store import queue_dependents
from shared import faults
from shared.consumer.commands import Answer
from shared.events.commands import SetCatalogItem


async def on_set_catalog_item(connection: AsyncConnection, command: SetCatalogItem) -> Answer:
    """Create or change a catalog item and queue the placements that name it."""
    item_id = command.item_id
    before = await store.lock_item(connection, item_id)
    await faults.point("after_locks")
    values = store.item_values(command)
    if before["known"] and all(before[name] == value for name, value in values.items()):
        details = {"item_id": item_id, "item": before}
        return Answer(f"catalog item {item_id} is unchanged", details, subjects=[item_id])
    await store.save_item(connection, command)
    after = await store.lock_item(connection, item_id)
    queued = await queue_dependents(connection, "catalog_item", [item_id], command.command)
    return Answer(
        f"catalog item {item_id} is {'changed' if before['known'] else 'created'}",
        {"item_id": item_id, "item": after, "documents_to_price": queued},
        before=before if before["known"] else None,
        after=after,
        subjects=[item_id],
        jobs_due=queued > 0,
    )
