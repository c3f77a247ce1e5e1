"""Consumes `invoice-closed` and `batch-generated`: queues the documents for delivery."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.deliveries.store import deliveries
from shared.broker.topics import BATCH_GENERATED, INVOICE_CLOSED
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied, Received, reader
from shared.events.billing import BatchGenerated, InvoiceClosed


async def on_invoice_closed(
    connection: AsyncConnection, received: Sequence[Received[InvoiceClosed]]
) -> Applied:
    """Store the events and queue their documents; a repeat changes nothing.

    The content that is sent comes from the invoicer's view, not from the event.
    """
    by_id = {one.event.invoice_id: one.event for one in received}
    events = [by_id[an_id] for an_id in sorted(by_id)]
    await deliveries.add_received(connection, events)
    await deliveries.queue(connection, invoice_ids=sorted(by_id), auto=True)
    return Applied()


async def on_batch_generated(
    connection: AsyncConnection, received: Sequence[Received[BatchGenerated]]
) -> Applied:
    """Queue all documents of the batches, whether or not their `invoice-closed` arrived."""
    batch_ids = sorted({one.event.batch_id for one in received})
    await deliveries.queue(connection, batch_ids=batch_ids, auto=True)
    return Applied()


INVOICES = Subscription(
    INVOICE_CLOSED.name, reader(InvoiceClosed), on_invoice_closed, InvoiceClosed
)
BATCHES = Subscription(
    BATCH_GENERATED.name, reader(BatchGenerated), on_batch_generated, BatchGenerated
)
