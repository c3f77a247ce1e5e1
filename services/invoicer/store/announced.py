"""What the invoicer has announced: which batches and invoices to say again when somebody asks for it."""

from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows


async def batches_since(connection: AsyncConnection, day: date) -> list[str]:
    """The ids of the batches that were closed on that day (UTC) or later."""
    statement = "SELECT batch_id FROM invoicer.batch WHERE generated_at >= CAST(:day AS date) AT TIME ZONE 'UTC' ORDER BY batch_id"
    return [row.batch_id for row in await rows(connection, statement, day=day)]


async def invoices_since(connection: AsyncConnection, day: date) -> list[int]:
    """The ids of the invoices that were closed on that day (UTC) or later."""
    statement = "SELECT invoice_id FROM invoicer.invoice WHERE closed_at >= CAST(:day AS date) AT TIME ZONE 'UTC' ORDER BY invoice_id"
    return [row.invoice_id for row in await rows(connection, statement, day=day)]


async def invoices_of(
    connection: AsyncConnection, document_kind: str | None, document_id: str
) -> list[int]:
    """The ids of the invoices on which lines of a source document stand."""
    statement = """
        SELECT DISTINCT il.invoice_id FROM invoicer.pay_line p JOIN invoicer.invoice_line il USING (pay_line_id)
        WHERE p.document_id = :id AND p.document_kind = coalesce(CAST(:kind AS text), p.document_kind) ORDER BY il.invoice_id"""
    return [
        row.invoice_id
        for row in await rows(connection, statement, id=document_id, kind=document_kind)
    ]
