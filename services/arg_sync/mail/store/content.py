"""The lines of a closed document as it is printed: as the console's downloads show them."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.deliveries.store.documents import documents_for
from shared.database import rows
from shared.money import rounded
from shared.stored import LINE_COLUMNS, closed_line
from shared.terms import ClosedDocument, ClosedLine, CorrectedInvoice


async def printed(
    connection: AsyncConnection, invoice_id: int
) -> tuple[ClosedDocument, list[ClosedLine]]:
    """Return a closed document with what it corrects, and its lines."""
    found = await rows(
        connection,
        f"SELECT {', '.join(LINE_COLUMNS)}, corrects_date FROM invoicer.console_closed_line"
        " WHERE invoice_id = :id ORDER BY line_no",
        id=invoice_id,
    )
    document = (await documents_for(connection, [invoice_id]))[invoice_id]
    corrected = {
        CorrectedInvoice(row.corrects_invoice, row.corrects_date)
        for row in found
        if row.corrects_invoice is not None
    }
    corrects = tuple(sorted(corrected, key=lambda one: (one.invoice_date, one.number)))
    lines = [closed_line(row[:-1], document.currency, rounded) for row in found]
    return replace(document, corrects=corrects), lines
