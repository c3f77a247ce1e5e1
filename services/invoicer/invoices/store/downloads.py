"""Downloads of batches: who, when, and in which format."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import now
from shared.database import run
from shared.events.commands import RecordDownload


async def add_download(connection: AsyncConnection, command: RecordDownload) -> bool:
    """Add a download; False if the company has no such batch."""
    query = """
        INSERT INTO invoicer.download (batch_id, command_id, file_format, actor, downloaded_at)
        SELECT batch_id, :command_id, :file_format, :actor, :at FROM invoicer.batch
        WHERE batch_id = :batch_id AND billing_company = :company"""
    written = await run(
        connection,
        query,
        command_id=command.command_id,
        file_format=command.file_format,
        actor=command.actor,
        at=now(),
        batch_id=command.batch_id,
        company=command.billing_company,
    )
    return written > 0
