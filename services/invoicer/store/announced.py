"""What the invoicer has announced: which batches and invoices to say again when somebody asks for it."""

from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.consumer.records import UnsaidId
from shared.database import rows


async def announced_since(connection: AsyncConnection, day: date) -> list[UnsaidId]:
    """All batches and invoices that were closed on that day (UTC) or later."""
    found = await rows(
        connection,
        "SELECT 'batch' AS kind, batch_id AS id FROM invoicer.batch WHERE generated_at >= CAST(:day AS date) AT TIME ZONE 'UTC'"
        " UNION ALL SELECT 'invoice', CAST(invoice_id AS text) FROM invoicer.invoice WHERE closed_at >= CAST(:day AS date) AT TIME ZONE 'UTC'",
        day=day,
    )
    return [(row.kind, row.id) for row in found]


async def announced_of(connection: AsyncConnection, document_kind: str | None, document_id: str) -> list[UnsaidId]:
    """The invoices on which lines of a source document stand."""
    found = await rows(
        connection,
        "SELECT DISTINCT il.invoice_id FROM invoicer.pay_line p JOIN invoicer.invoice_line il USING (pay_line_id)"
        " WHERE p.document_id = :id AND p.document_kind = coalesce(CAST(:kind AS text), p.document_kind)",
        id=document_id,
        kind=document_kind,
    )
    return [("invoice", str(row.invoice_id)) for row in found]
