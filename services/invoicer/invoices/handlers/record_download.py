"""The command `record-download`: stores that an operator downloaded a batch."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.invoices.store import downloads
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import RecordDownload


async def on_record_download(connection: AsyncConnection, command: RecordDownload) -> Answer:
    """Record that a batch was downloaded, or one document of it."""
    if not await downloads.add_download(connection, command):
        raise Refused(
            "no_such_batch",
            f"{command.billing_company} has no batch {command.batch_id}"
            + (f" with {command.invoice_number}" if command.invoice_number else ""),
            "see `backoffice batch list`",
        )
    what = command.invoice_number or f"batch {command.batch_id}"
    return Answer(
        f"{what} was downloaded as {command.file_format} by {command.actor}",
        subjects=[command.batch_id],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {RecordDownload: on_record_download}
