"""The messages that closing publishes, built from the stored rows, and which of them to publish
again.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.producer import OutgoingMessage, stable_id
from shared.broker.topics import BATCH_GENERATED, INVOICE_CLOSED
from shared.consumer.records import OutboxId
from shared.consumer.tables import names_in_chunks, outbox_chunks
from shared.consumer.unit_of_work import MessageBuilder
from shared.database import rows
from shared.events.billing import BatchGenerated, InvoiceClosed


async def batch_messages(connection: AsyncConnection, ids: Sequence[str]) -> list[OutgoingMessage]:
    """Build `batch-generated`, one message a batch."""
    query = """
        SELECT batch_id, billing_company, cut_off_date, invoice_date, first_number, last_number,
          documents, totals, command_id
        FROM invoicer.batch WHERE batch_id = ANY(CAST(:ids AS text[])) ORDER BY batch_id"""
    return [
        OutgoingMessage(
            BATCH_GENERATED.name,
            row.billing_company,
            BatchGenerated.model_validate(row._asdict(), strict=False).model_dump_json().encode(),
            stable_id(BATCH_GENERATED.name, row.batch_id),
        )
        for row in await rows(connection, query, ids=list(ids))
    ]


def invoice_chunks(invoice_ids: Sequence[int]) -> list[OutboxId]:
    """Return the outbox ids of documents, each for some hundreds of them."""
    return [an_id for an_id, _ in outbox_chunks("invoice", map(str, invoice_ids))]


async def invoice_messages(
    connection: AsyncConnection, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Build `invoice-closed`, one message a document."""
    query = """
        SELECT invoice_id, invoice_number, document_type, batch_id, billing_company, account_name,
          invoice_date, due_date, currency, po_number, net, tax, total, tax_totals, allowances,
          invoice_option, line_count, content_hash
        FROM invoicer.closed_invoice
        WHERE invoice_id = ANY(CAST(:ids AS bigint[])) ORDER BY invoice_id"""
    return [
        OutgoingMessage(
            INVOICE_CLOSED.name,
            row.account_name,
            InvoiceClosed.model_validate(row._asdict(), strict=False).model_dump_json().encode(),
            stable_id(INVOICE_CLOSED.name, row.billing_company, row.invoice_number),
        )
        for row in await rows(connection, query, ids=names_in_chunks(ids))
    ]


MESSAGE_BUILDERS: Mapping[str, MessageBuilder] = {
    "batch": batch_messages,
    "invoice": invoice_messages,
}


async def closed_since(connection: AsyncConnection, day: date) -> tuple[list[str], list[int]]:
    """Return the ids of the batches and invoices that were closed on a day (UTC) or later.

    Opening data is never published.
    """
    batches = await rows(
        connection,
        "SELECT batch_id FROM invoicer.batch"
        " WHERE generated_at >= CAST(:day AS date) AT TIME ZONE 'UTC'"
        " AND NOT EXISTS (SELECT FROM invoicer.invoice i"
        "   WHERE i.batch_id = batch.batch_id AND i.is_opening) ORDER BY batch_id",
        day=day,
    )
    invoices = await rows(
        connection,
        "SELECT invoice_id FROM invoicer.invoice"
        " WHERE closed_at >= CAST(:day AS date) AT TIME ZONE 'UTC' AND NOT is_opening"
        " ORDER BY invoice_id",
        day=day,
    )
    return [row[0] for row in batches], [row[0] for row in invoices]


async def invoices_of(
    connection: AsyncConnection, document_kind: str | None, document_id: str
) -> list[int]:
    """Return the ids of the invoices that have lines of a source document."""
    query = """
        SELECT DISTINCT il.invoice_id
        FROM invoicer.pay_line p JOIN invoicer.invoice_line il USING (pay_line_id)
        JOIN invoicer.invoice i USING (invoice_id)
        WHERE p.document_id = :id AND NOT i.is_opening
          AND p.document_kind = coalesce(CAST(:kind AS text), p.document_kind)
        ORDER BY il.invoice_id"""
    return [row[0] for row in await rows(connection, query, id=document_id, kind=document_kind)]
