"""Closed documents from the invoicer's views: the content of a request."""

from collections.abc import Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.ledgers.documents import CreditedInvoice
from shared.database import rows
from shared.money import rounded
from shared.stored import HEAD_COLUMNS, LINE_COLUMNS, closed_document, closed_line
from shared.terms import ClosedDocument, ClosedLine


async def documents_for(
    connection: AsyncConnection, invoice_ids: Sequence[int]
) -> dict[int, ClosedDocument]:
    """Return closed documents without lines. What they correct comes from `credited_by`."""
    found = await rows(
        connection,
        f"SELECT {', '.join(HEAD_COLUMNS)} FROM invoicer.closed_invoice"
        " WHERE invoice_id = ANY(CAST(:ids AS bigint[]))",
        ids=list(invoice_ids),
    )
    return {row.invoice_id: closed_document(row._mapping, (), rounded) for row in found}


async def lines_for(
    connection: AsyncConnection, documents: Iterable[ClosedDocument]
) -> dict[int, list[ClosedLine]]:
    """Return the lines of documents."""
    currencies = {document.invoice_id: document.currency for document in documents}
    lines: dict[int, list[ClosedLine]] = {an_id: [] for an_id in currencies}
    for row in await rows(
        connection,
        f"SELECT {', '.join(LINE_COLUMNS)} FROM invoicer.closed_invoice_line"
        " WHERE invoice_id = ANY(CAST(:ids AS bigint[])) ORDER BY invoice_id, line_no",
        ids=list(currencies),
    ):
        lines[row.invoice_id].append(closed_line(row, currencies[row.invoice_id], rounded))
    return lines


async def credited_by(
    connection: AsyncConnection, ledger: str, invoice_id: int
) -> list[CreditedInvoice]:
    """Return the invoices that a credit note corrects, with amounts and ids in this ledger."""
    found = await rows(
        connection,
        "SELECT c.corrects_number, c.amount, coalesce(d.remote_id, '') AS remote_id,"
        " i.invoice_date"
        " FROM arg_sync.correction c"
        " LEFT JOIN invoicer.closed_invoice i ON i.invoice_id = c.corrects_invoice_id"
        " LEFT JOIN arg_sync.delivery d"
        "   ON d.ledger = :ledger AND d.invoice_id = c.corrects_invoice_id AND d.state = 'posted'"
        " WHERE c.invoice_id = :invoice_id ORDER BY c.corrects_invoice_id",
        ledger=ledger,
        invoice_id=invoice_id,
    )
    return [CreditedInvoice(*row) for row in found]
