"""Reads payments back: a poll with a cursor for each connection. New entries are kept and said in one transaction with the new cursor."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.handlers.reading import BUSY, Reading
from services.arg_sync.ledgers.port import Failure, Payments
from services.arg_sync.rules.backoff import backoff
from services.arg_sync.rules.payments import new_entries
from services.arg_sync.store import announced, payments
from services.arg_sync.store.payments import Poll
from shared import telemetry
from shared.consumer.records import Applied

EVERY_SECONDS = 900.0
"""So often the payments of a connection are read, if no webhook asks for it: 96 calls a day of the 5,000 that Xero allows."""
MORE_SECONDS = 2.0
BUSY_SECONDS = 5.0
POLL_SECONDS = 900.0


async def poll(reading: Reading) -> None:
    """One poll, if it is ours. Whatever fails, the next one begins at the same cursor."""
    ledger = reading.connection.ledger
    async with reading.books.engine.begin() as connection:
        mine = await payments.claim(connection, reading.connection, POLL_SECONDS)
    if mine is None:
        return
    try:
        given = await reading.ask(lambda: reading.plugged.port.payments(mine.cursor))
    except Failure as failed:
        await _failed(reading, mine, failed)
        return
    applied = await reading.books.transact(
        lambda connection: _keep(connection, ledger, mine, given)
    )
    if applied.publish_now:
        telemetry.log().info("payments read", ledger=ledger, entries=len(applied.publish_now))


async def _keep(connection: AsyncConnection, ledger: str, mine: Poll, given: Payments) -> Applied:
    """Entries for what is new in it. An empty answer means that nothing was booked, and never that something was taken back."""
    if not await payments.still_ours(connection, ledger, mine):
        return Applied()
    kept = await payments.kept_of(connection, ledger, [each.payment_id for each in given.payments])
    ours = await payments.add(connection, ledger, new_entries(kept, given.payments))
    ours += await payments.match(connection, ledger)
    more = bool(given.payments) and given.cursor != mine.cursor
    await payments.end(
        connection, ledger, mine, given.cursor, MORE_SECONDS if more else EVERY_SECONDS
    )
    return Applied(publish_now=[announced.of_payment(ledger, *each) for each in ours])


async def _failed(reading: Reading, mine: Poll, failed: Failure) -> None:
    busy = failed.code == BUSY
    wait = (
        BUSY_SECONDS if busy else backoff(mine.failures + 1, reading.chances, longest=EVERY_SECONDS)
    )
    async with reading.books.engine.begin() as connection:
        failures = mine.failures if busy else mine.failures + 1
        await payments.end(
            connection,
            reading.connection.ledger,
            mine,
            mine.cursor,
            wait,
            max(failures, 1),
            f"{failed.code}: {failed.message}",
        )
    if not busy:
        await reading.trouble(failed)
        telemetry.log().warning(
            "payments could not be read", ledger=reading.connection.ledger, code=failed.code
        )
