"""Payments read back: the cursor of each connection, the claim of its poll, and the entries.

A worker whose claim expired while it read stores nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import FROM_NOW
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.connections.store.states import CIRCUIT_CLOSED
from services.arg_sync.deliveries.store.messages import build_message, select_values
from services.arg_sync.ledgers.documents import Payment
from services.arg_sync.payments.rules import Entry
from shared.broker.producer import OutgoingMessage
from shared.broker.topics import PAYMENT_RECORDED
from shared.consumer.records import OutboxId
from shared.consumer.unit_of_work import MessageBuilder
from shared.database import rows, run
from shared.events.ledgers import PaymentRecorded
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
PAYMENT = "payment"
SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Poll:
    """A claimed poll: its number, where the last one ended, and how many failed before it."""

    number: int
    cursor: str
    failures: int


async def due(connection: AsyncConnection) -> list[str]:
    """Return healthy connections whose payments are due, by time or because of a webhook."""
    found = await rows(
        connection,
        "SELECT c.ledger FROM arg_sync.connection c"
        " LEFT JOIN arg_sync.payment_cursor p USING (ledger)"
        f" WHERE c.state = 'connected' AND {CIRCUIT_CLOSED}"
        " AND (p.ledger IS NULL OR (coalesce(p.polling_until < clock_timestamp(), true)"
        "   AND (p.poll_requested OR p.next_at <= clock_timestamp())))"
        " ORDER BY c.ledger",
    )
    return [row.ledger for row in found]


async def claim_poll(
    connection: AsyncConnection, ledger: LedgerConnection, seconds: float
) -> Poll | None:
    """Claim the poll for these seconds; None if another worker has it."""
    found = await rows(
        connection,
        QUERIES["claim_poll"],
        ledger=ledger.name,
        generation=ledger.generation,
        seconds=seconds,
    )
    return Poll(*found[0]) if found else None


async def lock_poll(connection: AsyncConnection, ledger: str, poll: Poll) -> bool:
    """Lock the cursor; False if another worker claimed the poll meanwhile."""
    found = await rows(
        connection,
        "SELECT poll_no FROM arg_sync.payment_cursor WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )
    return bool(found and found[0].poll_no == poll.number)


async def end_poll(
    connection: AsyncConnection,
    ledger: str,
    poll: Poll,
    cursor: str,
    seconds: float,
    failures: int = 0,
    message: str = "",
) -> None:
    """End the poll: store where and when the next one begins."""
    await run(
        connection,
        "UPDATE arg_sync.payment_cursor SET cursor = :cursor, polling_until = NULL,"
        f" next_at = {FROM_NOW}, failures = :failures, message = :message,"
        " read_at = CASE WHEN :failures = 0 THEN clock_timestamp() ELSE read_at END"
        " WHERE ledger = :ledger AND poll_no = :number",
        ledger=ledger,
        number=poll.number,
        cursor=cursor,
        seconds=seconds,
        failures=failures,
        message=message,
    )


async def request_poll(connection: AsyncConnection, ledger: str) -> None:
    """Make the next poll due."""
    await run(
        connection,
        "UPDATE arg_sync.payment_cursor SET poll_requested = true"
        " WHERE ledger = :ledger AND NOT poll_requested",
        ledger=ledger,
    )


async def stored_payments(
    connection: AsyncConnection,
    ledger: str,
    payment_ids: Collection[str],
    remote_ids: Collection[str] = (),
) -> list[Entry]:
    """Return what is stored of these payments and of all payments of these documents."""
    found = await rows(
        connection,
        "SELECT CAST(max(entry_no) AS integer) AS entries, payment_id, remote_id, '' AS number,"
        " sum(amount) AS amount, max(currency) AS currency, max(paid_on) AS paid_on"
        " FROM arg_sync.payment"
        " WHERE ledger = :ledger AND (payment_id = ANY(CAST(:ids AS text[]))"
        "   OR remote_id = ANY(CAST(:remotes AS text[])))"
        " GROUP BY payment_id, remote_id",
        ledger=ledger,
        ids=sorted(set(payment_ids)),
        remotes=sorted(remote_ids),
    )
    return [(entries, Payment(*payment)) for entries, *payment in found]


async def add_entries(
    connection: AsyncConnection, ledger: str, entries: Sequence[Entry]
) -> list[OutboxId]:
    """Store entries and match older ones; return the messages about entries of our invoices."""
    found = await rows(
        connection,
        QUERIES["add_entries"],
        ledger=ledger,
        entries=[entry_no for entry_no, _ in entries],
        payments=[one.payment_id for _, one in entries],
        remotes=[one.remote_id for _, one in entries],
        numbers=[one.number for _, one in entries],
        amounts=[one.amount for _, one in entries],
        currencies=[one.currency for _, one in entries],
        days=[one.paid_on for _, one in entries],
    )
    found += await rows(connection, QUERIES["match_entries"], ledger=ledger)
    return [
        (PAYMENT, SEPARATOR.join((ledger, row.payment_id, row.remote_id, str(row.entry_no))))
        for row in found
        if row.invoice_id is not None
    ]


async def payment_messages(
    connection: AsyncConnection, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Build payment-recorded, one for each entry of a payment of our invoices."""
    ledgers, payments, remotes, entries = zip(*(one.split(SEPARATOR) for one in ids), strict=True)
    found = await rows(
        connection,
        QUERIES["payment_messages"],
        ledgers=list(ledgers),
        ids=list(payments),
        remotes=list(remotes),
        entries=[int(entry_no) for entry_no in entries],
    )
    return [
        build_message(
            PAYMENT_RECORDED,
            row.invoice_id,
            PaymentRecorded(**select_values(row, *PaymentRecorded.model_fields)),
            *(row.ledger, row.payment_id, row.remote_id, row.entry_no),
        )
        for row in found
    ]


MESSAGE_BUILDERS: Mapping[str, MessageBuilder] = {PAYMENT: payment_messages}
