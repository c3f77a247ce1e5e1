"""What happens when a document or a batch is closed: it is queued for the connections of its billing company that deliver by themselves."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.store import deliveries
from shared.broker.topics import BATCH_GENERATED, INVOICE_CLOSED
from shared.consumer.protocol import Subscription
from shared.consumer.records import Applied, Received, reader
from shared.events.billing import BatchGenerated, InvoiceClosed


async def on_invoice_closed(
    connection: AsyncConnection, received: Sequence[Received[InvoiceClosed]]
) -> Applied:
    """Keeps what was said, and queues the documents; what was heard before changes nothing. What is sent is read from the invoicer's view."""
    by_id = {one.event.invoice_id: one.event for one in received}
    heard = [by_id[an_id] for an_id in sorted(by_id)]
    await deliveries.hear(connection, heard)
    await deliveries.queue(connection, invoice_ids=[one.invoice_id for one in heard], auto=True)
    return Applied()


async def on_batch_generated(
    connection: AsyncConnection, received: Sequence[Received[BatchGenerated]]
) -> Applied:
    """Queues all documents of the batches: an `invoice-closed` that comes late, or twice, finds its delivery there."""
    await deliveries.queue(
        connection, batch_ids=sorted({one.event.batch_id for one in received}), auto=True
    )
    return Applied()


INVOICES = Subscription(
    INVOICE_CLOSED.name, reader(InvoiceClosed), on_invoice_closed, InvoiceClosed
)
BATCHES = Subscription(
    BATCH_GENERATED.name, reader(BatchGenerated), on_batch_generated, BatchGenerated
)
