"""Find what a person types: a document, an invoice number, a pay line, a debtor, a batch."""

from services.console.queries.snapshot import ReadConnection, Row, fetch

MOST_HITS = 25
LARGEST_LINE = 2**63 - 1
SOURCES = (
    (
        "invoice",
        "SELECT invoice_number AS id, billing_company, account_name AS about"
        " FROM invoicer.console_invoice WHERE upper(invoice_number) = upper(:text)",
    ),
    (
        "batch",
        "SELECT batch_id AS id, billing_company, concat_ws(' to ', first_number, last_number)"
        " AS about FROM invoicer.console_batch WHERE batch_id = :text",
    ),
    (
        "document",
        "SELECT DISTINCT document_id AS id, billing_company, document_kind AS about"
        " FROM invoicer.console_pay_line WHERE document_id = :text",
    ),
    (
        "held document",
        "SELECT document_id AS id, billing_company, hold_code AS about"
        " FROM fee_realizer.console_held_document WHERE document_id = :text OR source_id = :text",
    ),
    (
        "debtor",
        "SELECT DISTINCT account_name AS id, billing_company, 'terms' AS about"
        " FROM invoicer.console_debtor_terms WHERE strpos(lower(account_name), lower(:text)) > 0"
        " UNION SELECT DISTINCT account_name, billing_company, 'invoices'"
        " FROM invoicer.console_invoice WHERE strpos(lower(account_name), lower(:text)) > 0",
    ),
)
LINE = (
    "SELECT CAST(pay_line_id AS text) AS id, billing_company, description AS about"
    " FROM invoicer.console_pay_line WHERE pay_line_id = :line"
)


async def search(connection: ReadConnection, text: str) -> list[Row]:
    """What has this id, number or name: `kind`, `id`, `billing_company` and what it is about."""
    found: list[Row] = []
    for kind, query in SOURCES:
        limited = f"SELECT * FROM ({query}) hit ORDER BY 2, 1 LIMIT :most"
        rows = await fetch(connection, limited, text=text, most=MOST_HITS)
        found += [{"kind": kind} | row for row in rows]
    if text.isascii() and text.isdigit() and int(text) <= LARGEST_LINE:
        rows = await fetch(connection, LINE, line=int(text))
        found += [{"kind": "pay line"} | row for row in rows]
    return found
