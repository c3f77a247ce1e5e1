"""Deliveries as they are queued and as operators change them, and the received documents.

Commands about a batch that is not closed yet are held here until it is, or until the time limit.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.consumer import dead_letter_content
from shared.consumer.records import Record
from shared.database import rows, run
from shared.events.billing import InvoiceClosed
from shared.events.commands import SyncBatch
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
REQUEUED = (
    "state = 'queued', revision = n.revision + 1, request = NULL, request_key = NULL,"
    " customer = NULL, outcome_unknown = true, tries = 0, failing_since = NULL, settled_at = NULL,"
    " lease = n.lease + 1, code = '', message = '', fix = '', next_attempt_at = now()"
)
"""A new revision of a delivery `n`: after a look-up it is rendered again under a new key."""


async def add_received(connection: AsyncConnection, events: Sequence[InvoiceClosed]) -> None:
    """Store the content of `invoice-closed`, once for each document."""
    await run(
        connection,
        QUERIES["add_received"],
        ids=[one.invoice_id for one in events],
        companies=[one.billing_company for one in events],
        numbers=[one.invoice_number for one in events],
        types=[one.document_type for one in events],
        batches=[one.batch_id for one in events],
        currencies=[one.currency for one in events],
        totals=[one.total for one in events],
        hashes=[one.content_hash for one in events],
    )


async def queue(
    connection: AsyncConnection,
    *,
    invoice_ids: Sequence[int] = (),
    batch_ids: Sequence[str] = (),
    auto: bool,
) -> int:
    """Queue documents for the connections of their billing company, once each.

    With `auto` only connections that deliver automatically get them. Returns how many were new.
    """
    new = await rows(
        connection, QUERIES["queue"], ids=list(invoice_ids), batches=list(batch_ids), auto=auto
    )
    credits = sorted({row.invoice_id for row in new if row.document_type == "credit-note"})
    if credits:
        await run(connection, QUERIES["add_corrections"], ids=credits)
    return len(new)


async def batch_company(connection: AsyncConnection, batch_id: str) -> str | None:
    """Return the billing company of a closed batch; None if there is no such batch yet."""
    found = await rows(
        connection,
        "SELECT billing_company FROM invoicer.closed_invoice"
        " WHERE batch_id = :id AND NOT is_opening LIMIT 1",
        id=batch_id,
    )
    return found[0].billing_company if found else None


async def batch_states(connection: AsyncConnection, batch_id: str) -> dict[str, int]:
    """Return the number of deliveries of a batch by state."""
    found = await rows(
        connection,
        "SELECT state, count(*) AS n FROM arg_sync.delivery WHERE batch_id = :id GROUP BY state",
        id=batch_id,
    )
    return {row.state: row.n for row in found}


async def delivery_for(connection: AsyncConnection, ledger: str, invoice_number: str) -> Any | None:
    """Lock and return the delivery of a document to a ledger; None if there is none."""
    found = await rows(
        connection,
        "SELECT delivery_id, ledger, invoice_number, account_name, state, outcome_unknown,"
        " remote_id, remote_number, code, message FROM arg_sync.delivery"
        " WHERE ledger = :ledger AND invoice_number = :number FOR UPDATE",
        ledger=ledger,
        number=invoice_number,
    )
    return found[0] if found else None


async def requeue(connection: AsyncConnection, delivery_id: int) -> None:
    """Start a new revision: after a look-up, the document is rendered again under a new key."""
    await run(
        connection,
        f"UPDATE arg_sync.delivery n SET {REQUEUED} WHERE delivery_id = :id",
        id=delivery_id,
    )


async def apply_credits(connection: AsyncConnection, delivery_ids: Sequence[int]) -> None:
    """Queue posted credit notes that were not applied to these invoices, to apply them now."""
    await run(
        connection,
        f"UPDATE arg_sync.delivery n SET {REQUEUED} FROM arg_sync.delivery i"
        " JOIN arg_sync.correction c ON c.corrects_invoice_id = i.invoice_id"
        " WHERE i.delivery_id = ANY(CAST(:ids AS bigint[])) AND i.document_type = 'invoice'"
        " AND i.state = 'posted' AND i.remote_id IS NOT NULL"
        " AND n.ledger = i.ledger AND n.invoice_id = c.invoice_id"
        " AND n.state = 'posted' AND n.code = 'unapplied'",
        ids=list(delivery_ids),
    )


async def apply_late(connection: AsyncConnection, delivery_ids: Sequence[int]) -> None:
    """Queue those of these credit notes whose invoices all arrived while they were sent.

    The invoices are locked first: one that settles at the same time is waited for, or finds them.
    """
    await run(
        connection,
        "SELECT FROM arg_sync.delivery i WHERE i.delivery_id IN ("
        " SELECT d.delivery_id FROM arg_sync.delivery n"
        " JOIN arg_sync.correction c USING (invoice_id)"
        " JOIN arg_sync.delivery d ON d.ledger = n.ledger AND d.invoice_id = c.corrects_invoice_id"
        " WHERE n.delivery_id = ANY(CAST(:ids AS bigint[])))"
        " ORDER BY i.delivery_id FOR SHARE",
        ids=list(delivery_ids),
    )
    await run(
        connection,
        f"UPDATE arg_sync.delivery n SET {REQUEUED}"
        " WHERE n.delivery_id = ANY(CAST(:ids AS bigint[]))"
        " AND n.state = 'posted' AND n.code = 'unapplied' AND NOT EXISTS ("
        "   SELECT FROM arg_sync.correction c LEFT JOIN arg_sync.delivery i"
        "     ON i.ledger = n.ledger AND i.invoice_id = c.corrects_invoice_id"
        "     AND i.state = 'posted'"
        "   WHERE c.invoice_id = n.invoice_id AND i.remote_id IS NULL)",
        ids=list(delivery_ids),
    )


async def let_go_unapplied(
    connection: AsyncConnection, *, batch_id: str | None = None, delivery_id: int | None = None
) -> int:
    """Let open and refused credit notes go before their invoices; return how many."""
    return await run(
        connection,
        "UPDATE arg_sync.delivery SET unapplied = true, next_attempt_at = now()"
        " WHERE (batch_id = :batch_id OR delivery_id = :delivery_id)"
        " AND document_type = 'credit-note' AND state IN ('queued', 'refused')",
        batch_id=batch_id,
        delivery_id=delivery_id,
    )


async def try_now(connection: AsyncConnection, delivery_id: int) -> None:
    """Make the next attempt of a waiting delivery due."""
    await run(
        connection,
        "UPDATE arg_sync.delivery SET next_attempt_at = now() WHERE delivery_id = :id",
        id=delivery_id,
    )


async def settle_by_hand(
    connection: AsyncConnection,
    delivery_id: int,
    code: str,
    remote_id: str | None,
    remote_number: str,
    message: str,
) -> Any:
    """Mark a delivery as posted because an operator confirms that the ledger has the document.

    Returns what `messages.outbox_id` needs.
    """
    (settled,) = await rows(
        connection,
        "UPDATE arg_sync.delivery SET state = 'posted', code = :code, message = :message,"
        " fix = '', remote_id = coalesce(:remote_id, remote_id),"
        " remote_number = :remote_number, remote_state = 'posted', outcome_unknown = false,"
        " tries = 0, lease = lease + 1, settled_at = now() WHERE delivery_id = :id"
        " RETURNING delivery_id, revision, state, code",
        id=delivery_id,
        code=code,
        remote_id=remote_id,
        remote_number=remote_number,
        message=message,
    )
    return settled


async def count_by_state(connection: AsyncConnection) -> list[tuple[str, str, int]]:
    """Return (ledger, state, number of deliveries) for the metrics."""
    found = await rows(
        connection,
        "SELECT ledger, state, count(*) AS n FROM arg_sync.delivery GROUP BY ledger, state",
    )
    return [(row.ledger, row.state, row.n) for row in found]


async def oldest_open_seconds(connection: AsyncConnection) -> Decimal:
    """Return the age of the oldest delivery that is neither posted nor refused."""
    (row,) = await rows(
        connection,
        "SELECT coalesce(extract(epoch FROM now() - min(queued_at)), 0) AS age"
        " FROM arg_sync.delivery WHERE state IN ('queued', 'sending', 'unknown')",
    )
    age: Decimal = row.age
    return age


async def hold_command(connection: AsyncConnection, command: SyncBatch, record: Record) -> bool:
    """Hold a command; a repeat of it changes nothing. False: another body has its id."""
    kept = dead_letter_content.content(record)
    return bool(
        await rows(
            connection,
            "INSERT INTO arg_sync.held_command AS h (command_id, body, held_at, topic,"
            " partition_no, record_offset, record_key, record_value, headers, appended_at)"
            " VALUES (:id, CAST(:body AS jsonb), now(), :topic, :partition, :offset, :key, :value,"
            " CAST(:headers AS jsonb), :appended_at)"
            " ON CONFLICT (command_id) DO UPDATE SET held_at = h.held_at"
            " WHERE h.body = excluded.body RETURNING command_id",
            id=command.command_id,
            body=command.model_dump_json(),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            value=record.value,  # whole, however many spaces it has
            **{name: kept[name] for name in ("key", "headers", "appended_at")},
        )
    )


async def held_commands(connection: AsyncConnection, minutes: int) -> list[Any]:
    """Return held commands whose batch is closed, or that are older than these minutes."""
    return await rows(
        connection,
        "SELECT command_id, topic, partition_no, record_offset, record_key, record_value, headers,"
        " appended_at FROM arg_sync.held_command h"
        " WHERE held_at < now() - make_interval(mins => :minutes)"
        " OR EXISTS (SELECT FROM invoicer.closed_invoice i"
        "   WHERE i.batch_id = h.body ->> 'batch_id') ORDER BY held_at LIMIT 50",
        minutes=minutes,
    )


async def release_command(connection: AsyncConnection, command_id: str) -> bool:
    """Delete a held command; False if another worker did."""
    return bool(
        await run(
            connection, "DELETE FROM arg_sync.held_command WHERE command_id = :id", id=command_id
        )
    )
