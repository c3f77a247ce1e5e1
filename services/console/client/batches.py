"""Batches and previews as the console shows them."""

from services.console.client.books import ReadConnection, Row, found
from services.console.client.figures import with_money
from shared.errors import Refused
from shared.stored import as_json

BATCH = (
    "b.batch_id, b.billing_company, b.cut_off_date, b.invoice_date, b.first_number, b.last_number, b.documents, b.line_count, b.totals,"
    " b.actor, b.reason, b.generated_at, b.command_id, d.downloaded_on, d.downloads"
)
DOWNLOADS = "LEFT JOIN LATERAL (SELECT max(downloaded_at) AS downloaded_on, count(*) AS downloads FROM invoicer.download d WHERE d.batch_id = b.batch_id) d ON true"
DOCUMENT = "invoice_id, invoice_number, document_type, account_name, currency, payment_terms, po_number, invoice_date, due_date, line_count, net, tax, total"


async def batches(
    connection: ReadConnection, billing_company: str | None = None, limit: int = 50
) -> list[Row]:
    """The newest batches first."""
    rows = await found(
        connection,
        f"SELECT {BATCH} FROM invoicer.batch b {DOWNLOADS} WHERE CAST(:company AS text) IS NULL OR b.billing_company = :company"
        " ORDER BY b.generated_at DESC, b.batch_id LIMIT :most",
        company=billing_company,
        most=limit,
    )
    return [row | {"totals": as_json(row["totals"])} for row in rows]


async def batch(connection: ReadConnection, batch_id: str) -> Row:
    """One batch. Refused if there is none of that id."""
    rows = await found(
        connection,
        f"SELECT {BATCH} FROM invoicer.batch b {DOWNLOADS} WHERE b.batch_id = :id",
        id=batch_id,
    )
    if not rows:
        raise Refused(
            "unknown_batch", f"there is no batch {batch_id}", "see `backoffice batch list`"
        )
    return rows[0] | {"totals": as_json(rows[0]["totals"])}


async def batch_documents(connection: ReadConnection, batch_id: str, limit: int = 100) -> list[Row]:
    """The documents of a batch in the order of their numbers, at most `limit`."""
    rows = await found(
        connection,
        f"SELECT {DOCUMENT} FROM invoicer.closed_invoice WHERE batch_id = :id ORDER BY series, number LIMIT :most",
        id=batch_id,
        most=limit,
    )
    return [with_money(row, "net", "tax", "total") for row in rows]


async def parked_debtors(connection: ReadConnection, batch_id: str, limit: int = 200) -> list[Row]:
    """Whom a batch parked and why, and the batch that billed them since."""
    return await found(
        connection,
        "SELECT account_name, code, message, ids, billed_in_batch FROM invoicer.parked_debtor WHERE batch_id = :id"
        " ORDER BY billed_in_batch IS NOT NULL, account_name LIMIT :most",
        id=batch_id,
        most=limit,
    )


async def batch_downloads(connection: ReadConnection, batch_id: str) -> list[Row]:
    """Who took the files of a batch, and when."""
    return await found(
        connection,
        "SELECT file_format, actor, downloaded_at FROM invoicer.download WHERE batch_id = :id ORDER BY downloaded_at",
        id=batch_id,
    )


async def preview(connection: ReadConnection, preview_id: str, limit: int = 100) -> Row | None:
    """A stored preview with its documents, and how many lines are out for which reason; None if there is none of that id."""
    heads = await found(
        connection,
        "SELECT preview_id, billing_company, cut_off_date, digest, totals, actor, previewed_at FROM invoicer.preview WHERE preview_id = :id",
        id=preview_id,
    )
    if not heads:
        return None
    documents = await found(
        connection,
        "SELECT document_no, account_name, document_type, currency, payment_terms, po_number, tax_regime, line_count, net, tax"
        " FROM invoicer.preview_document WHERE preview_id = :id ORDER BY document_no LIMIT :most",
        id=preview_id,
        most=limit,
    )
    out = await found(
        connection,
        "SELECT reason, count(*) AS lines, (array_agg(pay_line_id ORDER BY pay_line_id))[1:20] AS pay_line_ids"
        " FROM invoicer.preview_line WHERE preview_id = :id AND reason IS NOT NULL GROUP BY reason ORDER BY reason",
        id=preview_id,
    )
    return heads[0] | {
        "totals": as_json(heads[0]["totals"]),
        "documents": [with_money(row, "net", "tax") for row in documents],
        "out": out,
    }
