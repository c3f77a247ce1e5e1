"""Batches and previews."""

from decimal import Decimal

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import ReadConnection, Row, fetch, fetch_page
from shared.errors import Refused
from shared.stored import as_json

HOURS = (
    "CROSS JOIN LATERAL ("
    "SELECT coalesce(sum(l.quantity) FILTER (WHERE l.unit = 'HUR'), 0) AS hours"
    " FROM invoicer.console_closed_line l WHERE l.invoice_id = i.invoice_id) h"
)
"""The hours on each document `i`; those of credits are negative."""


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


async def batch_progress(connection: ReadConnection, batch_ids: list[str]) -> dict[str, Row]:
    """How much of each batch is delivered and sent: `deliveries` and how many of them are `synced`,
    `mails` and how many of them are `mailed`.
    """
    found: dict[str, Row] = {}
    for number, done, view, state in (
        ("deliveries", "synced", "arg_sync.console_delivery", "posted"),
        ("mails", "mailed", "arg_sync.console_mail", "sent"),
    ):
        rows = await fetch(
            connection,
            f"SELECT batch_id, count(*) AS {number}, count(*) FILTER (WHERE state = :state) AS"
            f" {done} FROM {view} WHERE batch_id = ANY(CAST(:ids AS text[])) GROUP BY batch_id",
            ids=batch_ids,
            state=state,
        )
        for row in rows:
            found.setdefault(row["batch_id"], {}).update(row)
    return found


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
        f"SELECT i.*, h.hours FROM ("
        "SELECT invoice_id, invoice_number, document_type, account_name, currency, payment_terms,"
        " po_number, invoice_date, due_date, line_count, net, tax, total, allowances, series,"
        " number"
        " FROM invoicer.console_invoice WHERE batch_id = :id ORDER BY series, number LIMIT :most"
        f") i {HOURS} ORDER BY i.series, i.number",
        id=batch_id,
        most=limit,
    )
    return [_document(row) for row in rows]


async def batch_hours(connection: ReadConnection, batch_id: str) -> dict[str, Decimal]:
    """The hours on the documents of a batch, by currency; those of credits are negative."""
    rows = await fetch(
        connection,
        "SELECT i.currency, coalesce(sum(l.quantity) FILTER (WHERE l.unit = 'HUR'), 0) AS quantity"
        " FROM invoicer.console_invoice i JOIN invoicer.console_closed_line l USING (invoice_id)"
        " WHERE i.batch_id = :id GROUP BY i.currency",
        id=batch_id,
    )
    return {row["currency"]: with_money(row)["quantity"] for row in rows}


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
        "SELECT file_format, layout, invoice_number, actor, downloaded_at"
        " FROM invoicer.console_download"
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
        "SELECT d.document_no, d.account_name, d.document_type, d.currency, d.payment_terms,"
        " d.po_number, d.tax_regime, d.line_count, d.net, d.tax, d.net + d.tax AS total,"
        " nullif(d.allowances, '') AS allowances,"
        " coalesce(h.hours, 0) AS hours"
        " FROM invoicer.console_preview_document d LEFT JOIN ("
        " SELECT l.document_no, sum(p.quantity) FILTER (WHERE p.unit = 'HUR') AS hours"
        " FROM invoicer.console_preview_line l JOIN invoicer.console_pay_line p USING (pay_line_id)"
        " WHERE l.preview_id = :id AND l.document_no <= :most GROUP BY l.document_no) h"
        " USING (document_no)"
        " WHERE d.preview_id = :id ORDER BY d.document_no LIMIT :most",
        id=preview_id,
        most=limit,
    )
    hours = await fetch(
        connection,
        "SELECT p.currency, coalesce(sum(p.quantity) FILTER (WHERE p.unit = 'HUR'), 0) AS quantity"
        " FROM invoicer.console_preview_line l JOIN invoicer.console_pay_line p USING (pay_line_id)"
        " WHERE l.preview_id = :id AND l.reason IS NULL GROUP BY p.currency",
        id=preview_id,
    )
    lines_in, total_in = await _preview_lines(connection, preview_id, "l.reason IS NULL", limit)
    lines_out, total_out = await _preview_lines(
        connection, preview_id, "l.reason IS NOT NULL", limit
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
        "hours": {row["currency"]: with_money(row)["quantity"] for row in hours},
        "documents": [_document(row) for row in documents],
        "out": left_out,
        "lines_in": lines_in,
        "lines_out": lines_out,
        "in_total": total_in,
        "out_total": total_out,
    }


async def _preview_lines(
    connection: ReadConnection, preview_id: str, condition: str, limit: int
) -> tuple[list[Row], int]:
    """The first lines of a preview that are in, or out, and how many there are in all."""
    rows, total = await fetch_page(
        connection,
        "l.document_no, l.reason, l.pay_line_id, p.document_id, p.description, p.service_from,"
        " p.service_to, p.quantity, p.unit, p.unit_price, p.amount, p.currency,"
        " coalesce(d.account_name, c.account_name, n.account_name, g.account_name)"
        " AS account_name,"
        " c.invoice_number AS corrects_invoice, p.corrects_line_no AS corrects_line",
        "invoicer.console_preview_line l JOIN invoicer.console_pay_line p USING (pay_line_id)"
        " LEFT JOIN invoicer.console_preview_document d"
        " ON d.preview_id = l.preview_id AND d.document_no = l.document_no"
        " LEFT JOIN invoicer.console_invoice c ON c.invoice_id = p.corrects_invoice_id"
        " LEFT JOIN invoicer.console_node_debtor n ON n.node_id = p.billto_node"
        " LEFT JOIN invoicer.console_agreement_debtor g ON g.billing_company = p.billing_company"
        f" WHERE l.preview_id = :id AND {condition}",
        "l.document_no, l.reason, l.pay_line_id",
        limit,
        id=preview_id,
    )
    return [with_money(row, "amount") for row in rows], total


def _document(row: Row) -> Row:
    """A document with its discounts and surcharges, and their sum (None: it has none)."""
    allowances = as_json(row["allowances"]) or []
    allowance = sum(Decimal(each["amount"]) for each in allowances) if allowances else None
    found = row | {"allowances": allowances, "allowance": allowance}
    return with_money(found, "net", "tax", "total", "allowance")
