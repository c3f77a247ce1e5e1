"""The closed documents of a batch, streamed: heads page by page, lines through a cursor.

So memory stays flat, however many documents a batch has.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from services.console.queries.amounts import at_minor_unit
from services.console.queries.snapshot import ReadConnection, fetch, with_positions
from shared.stored import HEAD_COLUMNS, LINE_COLUMNS, closed_document, closed_line
from shared.terms import ClosedDocument, ClosedLine, CorrectedInvoice

HEADS_AT_ONCE = 200
LINES_AT_ONCE = 1_000

HEADS = f"""
  SELECT series, number, {", ".join(HEAD_COLUMNS)}
  FROM invoicer.console_invoice
  WHERE batch_id = :batch AND (series, number) > (:series, CAST(:number AS bigint))
  ORDER BY series, number LIMIT :most
"""
CORRECTED = """
  SELECT DISTINCT invoice_id, corrects_invoice, corrects_date FROM invoicer.console_closed_line
  WHERE invoice_id = ANY(CAST(:ids AS bigint[])) AND corrects_invoice IS NOT NULL
  ORDER BY invoice_id, corrects_date, corrects_invoice
"""
LINES = f"""
  SELECT {", ".join(LINE_COLUMNS)}
  FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS page(invoice_id, place)
  JOIN invoicer.console_closed_line l USING (invoice_id)
  ORDER BY page.place, l.line_no
"""


async def closed_documents(
    connection: ReadConnection, batch_id: str
) -> AsyncIterator[list[ClosedDocument]]:
    """The documents of a batch without their lines, in the order of their numbers, page by page."""
    series, number = "", -1
    while True:
        rows = await fetch(
            connection, HEADS, batch=batch_id, series=series, number=number, most=HEADS_AT_ONCE
        )
        if not rows:
            return
        corrected: dict[int, list[CorrectedInvoice]] = {}
        for each in await fetch(connection, CORRECTED, ids=[row["invoice_id"] for row in rows]):
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
