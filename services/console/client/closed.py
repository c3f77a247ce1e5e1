"""The closed documents of a batch, streamed: a page of heads at a time, lines through a cursor, so memory is flat whatever their number."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from services.console.client.books import ReadConnection, found, with_positions
from services.console.client.figures import at_minor_unit
from shared.stored import HEAD_COLUMNS, LINE_COLUMNS, closed_document, closed_line
from shared.terms import ClosedDocument, ClosedLine, CorrectedInvoice

HEADS_AT_ONCE = 200
LINES_AT_ONCE = 1_000

HEADS = f"""
  SELECT series, number, {", ".join(HEAD_COLUMNS)}
  FROM invoicer.closed_invoice
  WHERE batch_id = :batch AND (series, number) > (:series, CAST(:number AS bigint))
  ORDER BY series, number LIMIT :most
"""
CORRECTED = """
  SELECT DISTINCT invoice_id, corrects_invoice, corrects_date FROM invoicer.closed_invoice_line
  WHERE invoice_id = ANY(CAST(:ids AS bigint[])) AND corrects_invoice IS NOT NULL ORDER BY invoice_id, corrects_date, corrects_invoice
"""
LINES = f"""
  SELECT {", ".join(LINE_COLUMNS)}
  FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS page(invoice_id, place)
  JOIN invoicer.closed_invoice_line l USING (invoice_id)
  ORDER BY page.place, l.line_no
"""


async def closed_documents(
    connection: ReadConnection, batch_id: str
) -> AsyncIterator[list[ClosedDocument]]:
    """The heads of a batch in the order of their numbers, page by page."""
    series, number = "", -1
    while True:
        rows = await found(
            connection, HEADS, batch=batch_id, series=series, number=number, most=HEADS_AT_ONCE
        )
        if not rows:
            return
        corrected: dict[int, list[CorrectedInvoice]] = {}
        for each in await found(connection, CORRECTED, ids=[row["invoice_id"] for row in rows]):
            corrected.setdefault(each["invoice_id"], []).append(
                CorrectedInvoice(each["corrects_invoice"], each["corrects_date"])
            )
        yield [
            closed_document(row, corrected.get(row["invoice_id"], ()), at_minor_unit)
            for row in rows
        ]
        series, number = rows[-1]["series"], rows[-1]["number"]


async def closed_lines(
    connection: ReadConnection, documents: Sequence[ClosedDocument]
) -> AsyncGenerator[tuple[ClosedDocument, ClosedLine], None]:
    """The lines of these documents, document by document, in the order of the lines."""
    heads = {document.invoice_id: document for document in documents}
    sql, ids = with_positions(LINES, {"ids": list(heads)})
    async for row in connection.cursor(sql, *ids, prefetch=LINES_AT_ONCE):
        document = heads[row["invoice_id"]]
        yield document, closed_line(list(row), document.currency, at_minor_unit)
