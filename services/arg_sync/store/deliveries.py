"""Deliveries as they come into being, are looked at, and are changed by operators; and what was heard of documents."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run

HEAR = """
INSERT INTO arg_sync.received_document (invoice_id, billing_company, invoice_number, document_type, batch_id, currency, total, content_hash)
SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:companies AS text[]), CAST(:numbers AS text[]), CAST(:types AS text[]), CAST(:batches AS text[]),
  CAST(:currencies AS text[]), CAST(:totals AS numeric[]), CAST(:hashes AS text[]))
ON CONFLICT DO NOTHING"""
CORRECTIONS = """
INSERT INTO arg_sync.correction (invoice_id, corrects_invoice_id, corrects_number, amount)
SELECT l.invoice_id, l.corrects_invoice_id, min(l.corrects_invoice), -sum(l.amount + l.tax_amount)
FROM invoicer.closed_invoice_line l
WHERE l.invoice_id = ANY(CAST(:ids AS bigint[])) AND l.corrects_invoice_id IS NOT NULL
GROUP BY l.invoice_id, l.corrects_invoice_id
ON CONFLICT DO NOTHING"""
QUEUE = """
INSERT INTO arg_sync.delivery (ledger, invoice_id, billing_company, batch_id, invoice_number, document_type, account_name, invoice_date, currency, total,
  state, next_attempt_at, queued_at)
SELECT c.ledger, i.invoice_id, i.billing_company, i.batch_id, i.invoice_number, i.document_type, i.account_name, i.invoice_date, i.currency, i.total,
  'queued', now(), now()
FROM invoicer.closed_invoice i
JOIN arg_sync.connection c ON c.billing_company = i.billing_company AND c.state <> 'disconnected' AND (c.auto_sync OR NOT :auto)
WHERE (i.invoice_id = ANY(CAST(:ids AS bigint[])) OR i.batch_id = ANY(CAST(:batches AS text[])))
ORDER BY i.invoice_id, c.ledger
ON CONFLICT (ledger, invoice_id) DO NOTHING
RETURNING delivery_id, invoice_id, document_type"""
COLUMNS = (
    "delivery_id, ledger, invoice_id, billing_company, batch_id, invoice_number, document_type, account_name, currency, total, state, revision, doubt,"
    " remote_id, remote_number, remote_state, code, message, fix, attempts, tries"
)


async def hear(connection: AsyncConnection, heard: Sequence[Any]) -> None:
    """Keeps what `invoice-closed` told us, once."""
    await run(
        connection,
        HEAR,
        ids=[one.invoice_id for one in heard],
        companies=[one.billing_company for one in heard],
        numbers=[one.invoice_number for one in heard],
        types=[one.document_type for one in heard],
        batches=[one.batch_id for one in heard],
        currencies=[one.currency for one in heard],
        totals=[one.total for one in heard],
        hashes=[one.content_hash for one in heard],
    )


async def queue(
    connection: AsyncConnection,
    *,
    invoice_ids: Sequence[int] = (),
    batch_ids: Sequence[str] = (),
    auto: bool,
) -> int:
    """Queues documents for the connections of their billing company (`auto`: for those that ask for it), once; how many were new."""
    new = await rows(connection, QUEUE, ids=list(invoice_ids), batches=list(batch_ids), auto=auto)
    credits = sorted({row.invoice_id for row in new if row.document_type == "credit-note"})
    if credits:
        await run(connection, CORRECTIONS, ids=credits)
    return len(new)


async def batch_company(connection: AsyncConnection, batch_id: str) -> str | None:
    """The billing company of a batch that is closed; None if there is none of that id yet."""
    found = await rows(
        connection,
        "SELECT billing_company FROM invoicer.closed_invoice WHERE batch_id = :id LIMIT 1",
        id=batch_id,
    )
    return found[0].billing_company if found else None


async def batch_states(connection: AsyncConnection, batch_id: str) -> dict[str, int]:
    """How many deliveries of a batch are in which state."""
    found = await rows(
        connection,
        "SELECT state, count(*) AS n FROM arg_sync.delivery WHERE batch_id = :id GROUP BY state",
        id=batch_id,
    )
    return {row.state: row.n for row in found}


async def delivery_for(connection: AsyncConnection, ledger: str, invoice_number: str) -> Any | None:
    """The delivery of a document to a ledger, locked; None if there is none."""
    found = await rows(
        connection,
        f"SELECT {COLUMNS} FROM arg_sync.delivery WHERE ledger = :ledger AND invoice_number = :n FOR UPDATE",
        ledger=ledger,
        n=invoice_number,
    )
    return found[0] if found else None


async def queue_again(connection: AsyncConnection, delivery_id: int) -> None:
    """Tries it anew: a new rendering under a new key, after a look at the ledger."""
    await run(
        connection,
        "UPDATE arg_sync.delivery SET state = 'queued', revision = revision + 1, request = NULL, request_key = NULL, customer = NULL, doubt = true, tries = 0,"
        " failing_since = NULL, settled_at = NULL, lease = lease + 1, code = '', message = '', fix = '', next_attempt_at = now()"
        " WHERE delivery_id = :id",
        id=delivery_id,
    )


async def hasten(connection: AsyncConnection, delivery_id: int) -> None:
    """Tries a waiting one now."""
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
) -> None:
    """A person says that the document stands in the ledger."""
    await run(
        connection,
        "UPDATE arg_sync.delivery SET state = 'posted', code = :code, message = :message, fix = '', remote_id = coalesce(:remote_id, remote_id),"
        " remote_number = :remote_number, remote_state = 'posted', doubt = false, tries = 0, lease = lease + 1, settled_at = now() WHERE delivery_id = :id",
        id=delivery_id,
        code=code,
        remote_id=remote_id,
        remote_number=remote_number,
        message=message,
    )


async def figures(connection: AsyncConnection) -> list[tuple[str, str, int]]:
    """Ledger, state and how many deliveries: for the metrics."""
    found = await rows(
        connection,
        "SELECT ledger, state, count(*) AS n FROM arg_sync.delivery GROUP BY ledger, state",
    )
    return [(row.ledger, row.state, row.n) for row in found]


async def oldest_open_seconds(connection: AsyncConnection) -> Decimal:
    """Age of the oldest delivery that is neither posted nor parked."""
    (row,) = await rows(
        connection,
        "SELECT coalesce(extract(epoch FROM now() - min(queued_at)), 0) AS age FROM arg_sync.delivery WHERE state IN ('queued', 'sending', 'unknown')",
    )
    age: Decimal = row.age
    return age
