"""The closed documents of a batch, streamed: a page of heads at a time, lines through a cursor, so memory is flat whatever their number."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.client.books import Row, as_json, found
from services.console.client.figures import at_minor_unit, decimal_of
from shared.terms import ClosedDocument, ClosedLine, CorrectedInvoice, Party, TaxTotal

HEADS_AT_ONCE = 200
LINES_AT_ONCE = 1_000

HEADS = """
  SELECT invoice_id, series, number, invoice_number, document_type, batch_id, billing_company, account_name, seller, buyer, invoice_date, due_date,
         cut_off_date, currency, payment_terms, po_number, tax_wording, net, tax, total, line_count, service_from, service_to, tax_totals, content_hash,
         tax_regime
  FROM invoicer.closed_invoice
  WHERE batch_id = :batch AND (series, number) > (:series, CAST(:number AS bigint))
  ORDER BY series, number LIMIT :most
"""
CORRECTED = """
  SELECT DISTINCT invoice_id, corrects_invoice, corrects_date FROM invoicer.closed_invoice_line
  WHERE invoice_id = ANY(CAST(:ids AS bigint[])) AND corrects_invoice IS NOT NULL ORDER BY invoice_id, corrects_date, corrects_invoice
"""
LINES = """
  SELECT l.invoice_id, l.line_no, l.description, l.document_kind, l.document_id, l.pay_line_id, l.worker_id, l.requirement_id, l.week_ending,
         l.service_from, l.service_to, l.time_type, l.quantity, l.unit, l.unit_price, l.amount, l.tax_code, l.tax_rate, l.tax_amount, l.po_number,
         l.project, l.cost_center, coalesce(l.corrects_invoice, ''), l.corrects_line_no
  FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS page(invoice_id, place)
  JOIN invoicer.closed_invoice_line l USING (invoice_id)
  ORDER BY page.place, l.line_no
"""
AMOUNT, TAX_AMOUNT = 15, 18
"""Where the two amounts stand in LINES: they are given the currency's decimals."""


async def closed_documents(connection: AsyncConnection, batch_id: str) -> AsyncIterator[list[ClosedDocument]]:
    """The heads of a batch in the order of their numbers, page by page."""
    series, number = "", -1
    while True:
        rows = await found(connection, HEADS, batch=batch_id, series=series, number=number, most=HEADS_AT_ONCE)
        if not rows:
            return
        corrected: dict[int, list[CorrectedInvoice]] = {}
        for each in await found(connection, CORRECTED, ids=[row["invoice_id"] for row in rows]):
            corrected.setdefault(each["invoice_id"], []).append(CorrectedInvoice(each["corrects_invoice"], each["corrects_date"]))
        yield [_document(row, corrected.get(row["invoice_id"], [])) for row in rows]
        series, number = rows[-1]["series"], rows[-1]["number"]


async def closed_lines(connection: AsyncConnection, documents: Sequence[ClosedDocument]) -> AsyncGenerator[tuple[ClosedDocument, ClosedLine], None]:
    """The lines of these documents, document by document, in the order of the lines."""
    heads = {document.invoice_id: document for document in documents}
    result = await connection.stream(text(LINES), {"ids": list(heads)}, execution_options={"yield_per": LINES_AT_ONCE})
    async for page in result.partitions(LINES_AT_ONCE):  # without a size it would fetch all
        for row in page:
            values: list[Any] = list(row)
            document = heads[values[0]]
            values[AMOUNT] = at_minor_unit(values[AMOUNT], document.currency)
            values[TAX_AMOUNT] = at_minor_unit(values[TAX_AMOUNT], document.currency)
            yield document, ClosedLine(*values)


def _document(row: Row, corrects: Sequence[CorrectedInvoice]) -> ClosedDocument:
    currency = row["currency"]
    return ClosedDocument(
        invoice_id=row["invoice_id"],
        invoice_number=row["invoice_number"],
        document_type=row["document_type"],
        batch_id=row["batch_id"],
        billing_company=row["billing_company"],
        account_name=row["account_name"],
        seller=_party(as_json(row["seller"])),
        buyer=_party(as_json(row["buyer"])),
        invoice_date=row["invoice_date"],
        due_date=row["due_date"],
        cut_off_date=row["cut_off_date"],
        currency=currency,
        payment_terms=row["payment_terms"],
        po_number=row["po_number"],
        tax_wording=row["tax_wording"],
        net=at_minor_unit(row["net"], currency),
        tax=at_minor_unit(row["tax"], currency),
        total=at_minor_unit(row["total"], currency),
        line_count=row["line_count"],
        service_from=row["service_from"],
        service_to=row["service_to"],
        tax_totals=tuple(_tax(each, currency) for each in as_json(row["tax_totals"])),
        corrects=tuple(corrects),
        content_hash=row["content_hash"] or "",
        tax_regime=row["tax_regime"],
    )


def _party(snapshot: dict[str, Any]) -> Party:
    return Party(snapshot.get("name", ""), snapshot.get("address", ""), snapshot.get("tax_id", ""), snapshot.get("bank", ""))


def _tax(each: dict[str, Any], currency: str) -> TaxTotal:
    return TaxTotal(each["code"], decimal_of(each["rate"]), at_minor_unit(decimal_of(each["net"]), currency), at_minor_unit(decimal_of(each["tax"]), currency))
