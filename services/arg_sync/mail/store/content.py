"""A closed document as it is printed: as the console's downloads show it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.deliveries.store.documents import documents_for
from shared.database import rows
from shared.money import rounded
from shared.stored import LINE_COLUMNS, closed_line, closed_timesheet, names_of
from shared.terms import ClosedDocument, ClosedLine, ClosedTimesheet, CorrectedInvoice, Names


@dataclass(frozen=True, slots=True)
class PrintedDocument:
    """A closed document with all that is printed of it. `logo`: a PNG or JPEG, or nothing."""

    document: ClosedDocument
    lines: Sequence[ClosedLine]
    timesheets: Sequence[ClosedTimesheet] = ()
    logo: bytes = b""


async def printed(
    connection: AsyncConnection, invoice_id: int, *, with_timesheets: bool
) -> PrintedDocument:
    """Return a closed document with what it corrects, its names, its lines and its logo.

    Its timesheets are those that its debtor wants to see, or all `with_timesheets`.
    """
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
    details = await rows(
        connection,
        "SELECT invoice_id, about, subject_id, detail FROM invoicer.closed_invoice_detail"
        " WHERE invoice_id = :id",
        id=invoice_id,
    )
    names = names_of(row._mapping for row in details).get(invoice_id, Names())
    timesheets = []
    if document.buyer.timesheets or with_timesheets:
        timesheets = await rows(
            connection,
            "SELECT * FROM invoicer.closed_timesheet WHERE invoice_id = :id"
            ' ORDER BY worker_id COLLATE "C", week_ending, document_id COLLATE "C"',
            id=invoice_id,
        )
    logo = await rows(
        connection,
        "SELECT picture FROM fee_realizer.document_logo WHERE logo = :logo",
        logo=document.seller.logo,
    )
    return PrintedDocument(
        replace(document, corrects=corrects, names=names),
        [closed_line(row[:-1], document.currency, rounded) for row in found],
        [closed_timesheet(row._mapping) for row in timesheets],
        bytes(logo[0].picture) if logo else b"",
    )
