"""Downloads of batches: who, when, and in which format."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import now
from shared.database import run
from shared.events.commands import RecordDownload


async def add_download(connection: AsyncConnection, command: RecordDownload) -> bool:
    """Add a download; False if the company has no such batch, or the batch no such document."""
    query = """
        INSERT INTO invoicer.download
          (batch_id, command_id, file_format, layout, invoice_number, actor, downloaded_at)
        SELECT batch_id, :command_id, :file_format, :layout, :number, :actor, :at
        FROM invoicer.batch
        WHERE batch_id = :batch_id AND billing_company = :company
          AND (CAST(:number AS text) IS NULL OR EXISTS (SELECT FROM invoicer.invoice i
            WHERE i.batch_id = batch.batch_id AND i.invoice_number = :number))"""
    written = await run(
        connection,
        query,
        command_id=command.command_id,
        file_format=command.file_format,
        layout=command.layout,
        number=command.invoice_number,
        actor=command.actor,
        at=now(),
        batch_id=command.batch_id,
        company=command.billing_company,
    )
    return written > 0
