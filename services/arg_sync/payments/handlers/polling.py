"""Reads payments back: a poll with a cursor for each connection.

New entries, their messages and the new cursor are stored in one transaction.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.handlers.adapters import OpenAdapter
from services.arg_sync.connections.handlers.loops import ConnectionLoop
from services.arg_sync.connections.handlers.reading import BUSY, LedgerReader
from services.arg_sync.connections.rules import backoff
from services.arg_sync.connections.store.connections import LedgerConnection, connections_named
from services.arg_sync.ledgers.documents import PaymentPage
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.payments import store
from services.arg_sync.payments.rules import new_entries
from services.arg_sync.payments.store import Poll
from shared import telemetry
from shared.consumer.records import Applied

EVERY_SECONDS = 900.0
"""The time between polls without a webhook: 96 calls a day of the 5,000 that Xero allows."""
MORE_SECONDS = 2.0
BUSY_SECONDS = 5.0
POLL_SECONDS = 900.0


class PaymentLoop(ConnectionLoop):
    """Polls payments. A poll may be cancelled at any moment: it is stored as a whole."""

    async def due(self) -> list[LedgerConnection]:
        """Return the connections whose payments are due."""
        async with self.unit_of_work.engine.connect() as connection:
            return await connections_named(connection, await store.due(connection))

    async def work(self, ledger: LedgerConnection, open_adapter: OpenAdapter) -> None:
        """Poll once, if no other worker does. After a failure the cursor stays."""
        holder = f"payments/{self.holder}"
        reader = LedgerReader(self.unit_of_work, ledger, open_adapter, holder, self.jitter)
        async with self.unit_of_work.engine.begin() as connection:
            poll = await store.claim_poll(connection, ledger, POLL_SECONDS)
        if poll is None:
            return
        cursor = poll.cursor
        try:
            page = await reader.read(lambda: reader.adapter.payments(cursor))
        except Failure as failed:
            await _store_failure(reader, poll, failed)
            return
        applied = await self.unit_of_work.transact(
            lambda connection: _store_page(connection, ledger.name, poll, page)
        )
        if applied.publish_now:
            telemetry.log().info(
                "payments read", ledger=ledger.name, entries=len(applied.publish_now)
            )


async def _store_page(
    connection: AsyncConnection, ledger: str, poll: Poll, page: PaymentPage
) -> Applied:
    """Store entries for the differences. An empty page means that nothing was booked."""
    if not await store.lock_poll(connection, ledger, poll):
        return Applied()
    payment_ids = [each.payment_id for each in page.payments]
    stored = await store.stored_payments(connection, ledger, payment_ids, page.complete)
    entries = new_entries(stored, page.payments, page.complete)
    outbox_ids = await store.add_entries(connection, ledger, entries)
    more = bool(page.payments or page.complete) and page.cursor != poll.cursor
    seconds = MORE_SECONDS if more else EVERY_SECONDS
    await store.end_poll(connection, ledger, poll, page.cursor, seconds)
    return Applied(publish_now=outbox_ids)


async def _store_failure(reader: LedgerReader, poll: Poll, failed: Failure) -> None:
    busy = failed.code == BUSY
    failures = poll.failures if busy else poll.failures + 1
    wait = BUSY_SECONDS if busy else backoff(failures, reader.jitter, longest=EVERY_SECONDS)
    async with reader.unit_of_work.engine.begin() as connection:
        await store.end_poll(
            connection,
            reader.ledger,
            poll,
            poll.cursor,
            wait,
            max(failures, 1),
            f"{failed.code}: {failed.message}",
        )
    if not busy:
        await reader.record_failure(failed)
        telemetry.log().warning("payments unreadable", ledger=reader.ledger, code=failed.code)
