"""Batches and previews."""

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import ReadConnection, Row, fetch
from shared.errors import Refused
from shared.stored import as_json


async def batches(
    connection: ReadConnection, billing_company: str | None = None, limit: int = 50
) -> list[Row]:
    """The newest batches first."""
    rows = await fetch(
        connection,
        "SELECT * FROM invoicer.console_batch"
        " WHERE CAST(:company AS text) IS NULL OR billing_company = :company"
        " ORDER BY generated_at DESC, batch_id LIMIT :most",
        company=billing_company,
        most=limit,
    )
    return [row | {"totals": as_json(row["totals"])} for row in rows]


async def batch(connection: ReadConnection, batch_id: str) -> Row:
    """One batch. Refused if there is none with that id."""
    rows = await fetch(
        connection, "SELECT * FROM invoicer.console_batch WHERE batch_id = :id", id=batch_id
    )
    if not rows:
        raise Refused(
            "unknown_batch", f"there is no batch {batch_id}", "see `backoffice batch list`"
        )
    return rows[0] | {"totals": as_json(rows[0]["totals"])}


async def batch_documents(connection: ReadConnection, batch_id: str, limit: int = 100) -> list[Row]:
    """The documents of a batch in the order of their numbers, at most `limit`."""
    rows = await fetch(
        connection,
        "SELECT invoice_id, invoice_number, document_type, account_name, currency, payment_terms,"
        " po_number,"
        " invoice_date, due_date, line_count, net, tax, total"
        " FROM invoicer.console_invoice WHERE batch_id = :id ORDER BY series, number LIMIT :most",
        id=batch_id,
        most=limit,
    )
    return [with_money(row, "net", "tax", "total") for row in rows]


async def parked_debtors(connection: ReadConnection, batch_id: str, limit: int = 200) -> list[Row]:
    """The debtors that a batch parked, why, and the batch that billed each since."""
    return await fetch(
        connection,
        "SELECT account_name, code, message, ids, billed_in_batch FROM"
        " invoicer.console_parked_debtor"
        " WHERE batch_id = :id ORDER BY billed_in_batch IS NOT NULL, account_name LIMIT :most",
        id=batch_id,
        most=limit,
    )


async def batch_downloads(connection: ReadConnection, batch_id: str) -> list[Row]:
    """Who downloaded the files of a batch, and when."""
    return await fetch(
        connection,
        "SELECT file_format, actor, downloaded_at FROM invoicer.console_download"
        " WHERE batch_id = :id ORDER BY downloaded_at",
        id=batch_id,
    )


async def preview(connection: ReadConnection, preview_id: str, limit: int = 100) -> Row | None:
    """A stored preview with its documents, and the lines left out by reason.

    None if there is none with that id.
    """
    heads = await fetch(
        connection, "SELECT * FROM invoicer.console_preview WHERE preview_id = :id", id=preview_id
    )
    if not heads:
        return None
    documents = await fetch(
        connection,
        "SELECT document_no, account_name, document_type, currency, payment_terms, po_number,"
        " tax_regime,"
        " line_count, net, tax FROM invoicer.console_preview_document"
        " WHERE preview_id = :id ORDER BY document_no LIMIT :most",
        id=preview_id,
        most=limit,
    )
    left_out = await fetch(
        connection,
        "SELECT reason, count(*) AS lines, (array_agg(pay_line_id ORDER BY pay_line_id))[1:20] AS"
        " pay_line_ids"
        " FROM invoicer.console_preview_line WHERE preview_id = :id AND reason IS NOT NULL"
        " GROUP BY reason ORDER BY reason",
        id=preview_id,
    )
    return heads[0] | {
        "totals": as_json(heads[0]["totals"]),
        "documents": [with_money(row, "net", "tax") for row in documents],
        "out": left_out,
    }
