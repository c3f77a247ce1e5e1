"""The closed documents of a batch, or one of them, streamed.

Heads are read page by page, lines through a cursor: memory stays flat, however many documents a
batch has.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from services.console.queries.amounts import at_minor_unit
from services.console.queries.snapshot import ReadConnection, Row, fetch, with_positions
from shared.stored import (
    HEAD_COLUMNS,
    LINE_COLUMNS,
    closed_document,
    closed_line,
    closed_timesheet,
    names_of,
)
from shared.terms import ClosedDocument, ClosedLine, ClosedTimesheet, CorrectedInvoice

HEADS_AT_ONCE = 200
LINES_AT_ONCE = 1_000

HEADS = f"""
  SELECT series, number, {", ".join(HEAD_COLUMNS)}
  FROM invoicer.console_invoice
  WHERE batch_id = :batch AND (series, number) > (:series, CAST(:number AS bigint))
    AND (CAST(:only AS bigint) IS NULL OR invoice_id = :only)
  ORDER BY series, number LIMIT :most
"""
CORRECTED = """
  SELECT DISTINCT invoice_id, corrects_invoice, corrects_date FROM invoicer.console_closed_line
  WHERE invoice_id = ANY(CAST(:ids AS bigint[])) AND corrects_invoice IS NOT NULL
  ORDER BY invoice_id, corrects_date, corrects_invoice
"""
NAMES = """
  SELECT invoice_id, about, subject_id, detail FROM invoicer.console_closed_detail
  WHERE invoice_id = ANY(CAST(:ids AS bigint[]))
"""
TIMESHEETS = """
  SELECT document_id, requirement_ids, source_id, worker_id, week_ending, approved_at, approved_by,
    entries
  FROM invoicer.console_closed_timesheet WHERE invoice_id = :id
  ORDER BY worker_id COLLATE "C", week_ending, document_id COLLATE "C"
"""
LOGO = "SELECT picture FROM fee_realizer.console_logo WHERE logo = :logo"
LINES = f"""
  SELECT {", ".join(LINE_COLUMNS)}
  FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS page(invoice_id, place)
  JOIN invoicer.console_closed_line l USING (invoice_id)
  ORDER BY page.place, l.line_no
"""


async def closed_documents(
    connection: ReadConnection, batch: Row
) -> AsyncIterator[list[ClosedDocument]]:
    """The documents of a batch without their lines, in the order of their numbers, page by page.

    A row with an `invoice_id` means that document of the batch alone.
    """
    series, number = "", -1
    while True:
        rows = await fetch(
            connection,
            HEADS,
            batch=batch["batch_id"],
            only=batch.get("invoice_id"),
            series=series,
            number=number,
            most=HEADS_AT_ONCE,
        )
        if not rows:
            return
        corrected: dict[int, list[CorrectedInvoice]] = {}
        ids = [row["invoice_id"] for row in rows]
        names = names_of(await fetch(connection, NAMES, ids=ids))
        for each in await fetch(connection, CORRECTED, ids=ids):
            corrected.setdefault(each["invoice_id"], []).append(
                CorrectedInvoice(each["corrects_invoice"], each["corrects_date"])
            )
        yield [
            closed_document(
                row,
                corrected.get(row["invoice_id"], ()),
                at_minor_unit,
                names.get(row["invoice_id"]),
            )
            for row in rows
        ]
        series, number = rows[-1]["series"], rows[-1]["number"]


async def closed_timesheets(
    connection: ReadConnection, document: ClosedDocument
) -> list[ClosedTimesheet]:
    """The timesheets on a document, by worker and week, if its buyer wants to see their detail."""
    if not document.buyer.timesheets:
        return []
    rows = await fetch(connection, TIMESHEETS, id=document.invoice_id)
    return [closed_timesheet(row) for row in rows]


async def logo_of(connection: ReadConnection, logo: str) -> bytes:
    """The picture of a logo that a document or a billing company names; nothing if it has none."""
    if not logo:
        return b""
    (row,) = await fetch(connection, LOGO, logo=logo)
    return bytes(row["picture"])


async def closed_lines(
    connection: ReadConnection, documents: Sequence[ClosedDocument]
) -> AsyncGenerator[tuple[ClosedDocument, ClosedLine], None]:
    """The lines of these documents, document by document, in the order of the lines."""
    heads = {document.invoice_id: document for document in documents}
    sql, ids = with_positions(LINES, {"ids": list(heads)})
    async for row in connection.cursor(sql, *ids, prefetch=LINES_AT_ONCE):
        document = heads[row["invoice_id"]]
        yield document, closed_line(list(row), document.currency, at_minor_unit)
