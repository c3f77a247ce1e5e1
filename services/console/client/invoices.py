"""Closed documents as the console searches and shows them, and the gap certificate of their numbers.

The state of a document is derived from what stands on it (`invoicer.invoice_balance`): what it charges itself, less what credits took from
it, less what accounting systems say was paid.
"""

from datetime import date
from decimal import Decimal

from services.console.client.books import ReadConnection, Row, found
from services.console.client.figures import with_money
from shared.errors import Refused
from shared.stored import as_json

HEAD = (
    "i.invoice_id, i.invoice_number, i.document_type, i.billing_company, i.account_name, i.invoice_date, i.due_date, i.cut_off_date, i.currency,"
    " i.payment_terms, i.po_number, i.line_count, i.net, i.tax, i.total, i.batch_id, i.series, i.number"
)
LEFT = "SELECT b.charged, b.after_credits, b.paid, b.balance, b.state FROM invoicer.invoice_balance b WHERE b.invoice_id = i.invoice_id"
"""The state of an invoice: a part or all of it is paid or credited, or nothing, or it charges nothing. Of a credit note: it corrects invoices, or nothing."""
SEARCH = f"""
  (CAST(:company AS text) IS NULL OR i.billing_company = :company)
  AND (CAST(:number AS text) IS NULL OR i.invoice_number = :number OR CAST(i.number AS text) = :number)
  AND (CAST(:since AS date) IS NULL OR i.invoice_date >= :since) AND (CAST(:until AS date) IS NULL OR i.invoice_date <= :until)
  AND (CAST(:account AS text) IS NULL OR i.account_name = :account)
  AND (CAST(:type AS text) IS NULL OR i.document_type = :type)
  AND (CAST(:amount AS numeric) IS NULL OR abs(i.total) = abs(CAST(:amount AS numeric)) OR abs(i.net) = abs(CAST(:amount AS numeric)))
  AND (CAST(:batch AS text) IS NULL OR i.batch_id = :batch)
  AND (CAST(:text AS text) IS NULL
       OR strpos(lower(concat_ws(' ', i.invoice_number, i.account_name, i.po_number, i.buyer->>'name', i.buyer->>'address', i.buyer->>'tax_id')),
                 lower(:text)) > 0
       OR i.invoice_id IN (SELECT il.invoice_id FROM invoicer.pay_line p JOIN invoicer.invoice_line il USING (pay_line_id) WHERE p.document_id = :text))
  AND (CAST(:state AS text) IS NULL OR :state = (SELECT s.state FROM ({LEFT}) s))
"""
MISSING = """
  WITH taken AS (
    SELECT number AS low, number AS high FROM invoicer.invoice WHERE billing_company = :company AND series = :series
    UNION ALL SELECT from_number, to_number FROM invoicer.number_jump WHERE billing_company = :company AND series = :series
    UNION ALL SELECT CAST(:first AS bigint) - 1, CAST(:first AS bigint) - 1
    UNION ALL SELECT CAST(:next AS bigint), CAST(:next AS bigint)),
  stepped AS (SELECT low, max(high) OVER (ORDER BY low, high ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM taken)
  SELECT before + 1 AS from_number, low - 1 AS to_number FROM stepped WHERE low > before + 1 ORDER BY 1 LIMIT 100
"""


async def invoice_search(
    connection: ReadConnection,
    *,
    billing_company: str | None = None,
    number: str | None = None,
    since: date | None = None,
    until: date | None = None,
    account_name: str | None = None,
    document_type: str | None = None,
    amount: Decimal | None = None,
    batch_id: str | None = None,
    text: str | None = None,
    state: str | None = None,
    limit: int = 100,
) -> tuple[list[Row], int]:
    """Documents that meet all that is given, newest numbers first, and how many there are in all. `text` looks into number, debtor and PO,
    and finds the documents on which a timesheet or placement stands."""
    values = {
        "company": billing_company,
        "number": number,
        "since": since,
        "until": until,
        "account": account_name,
        "type": document_type,
        "amount": amount,
        "batch": batch_id,
        "text": text,
        "state": state,
    }
    total = (
        await found(
            connection,
            f"SELECT count(*) AS number FROM invoicer.closed_invoice i WHERE {SEARCH}",
            **values,
        )
    )[0]["number"]
    rows = await found(
        connection,
        f"SELECT i.*, s.state, s.after_credits, s.paid, s.balance FROM (SELECT {HEAD} FROM invoicer.closed_invoice i WHERE {SEARCH}"
        " ORDER BY i.billing_company, i.series, i.number DESC LIMIT :most) i"
        f" CROSS JOIN LATERAL ({LEFT}) s ORDER BY i.billing_company, i.series, i.number DESC",
        **values,
        most=limit,
    )
    return [
        with_money(row, "net", "tax", "total", "after_credits", "paid", "balance") for row in rows
    ], total


async def invoice(
    connection: ReadConnection, invoice_number: str, billing_company: str | None = None
) -> Row:
    """The head of one document. Refused if there is none, or more than one billing company has that number."""
    rows = await found(
        connection,
        f"SELECT {HEAD}, i.tax_regime, i.tax_wording, i.tax_basis, i.service_from, i.service_to, i.tax_totals, i.seller, i.buyer, i.closed_at,"
        f" i.content_hash, s.state, s.after_credits, s.paid, s.balance FROM invoicer.closed_invoice i CROSS JOIN LATERAL ({LEFT}) s"
        " WHERE i.invoice_number = :number AND (CAST(:company AS text) IS NULL OR i.billing_company = :company)",
        number=invoice_number,
        company=billing_company,
    )
    if not rows:
        raise Refused(
            "unknown_invoice",
            f"there is no document {invoice_number}",
            "see `backoffice invoices search`",
        )
    if len(rows) > 1:
        companies = ", ".join(sorted(row["billing_company"] for row in rows))
        raise Refused(
            "ambiguous_number",
            f"{invoice_number} is a number of {companies}",
            "name one with --billing-company",
        )
    return with_money(
        rows[0] | {name: as_json(rows[0][name]) for name in ("tax_totals", "seller", "buyer")},
        "net",
        "tax",
        "total",
        "after_credits",
        "paid",
        "balance",
    )


async def invoice_lines(connection: ReadConnection, invoice_id: int, limit: int = 200) -> list[Row]:
    """The lines of a document, at most `limit`."""
    rows = await found(
        connection,
        "SELECT l.line_no, l.pay_line_id, l.description, l.document_kind, l.document_id, l.worker_id, l.week_ending, l.service_from, l.service_to,"
        " l.time_type, l.quantity, l.unit, l.unit_price, l.amount, l.currency, l.tax_code, l.tax_rate, l.tax_amount, l.po_number, l.corrects_invoice,"
        " l.corrects_line_no AS corrects_line, CASE WHEN l.corrects_line_no IS NULL THEN l.quantity + c.quantity END AS quantity_left,"
        " CASE WHEN l.corrects_line_no IS NULL THEN l.amount + c.amount END AS amount_left"
        " FROM invoicer.closed_invoice_line l CROSS JOIN LATERAL ("
        "  SELECT coalesce(sum(e.quantity), 0) AS quantity, coalesce(sum(e.amount), 0) AS amount"
        "  FROM invoicer.pay_line e JOIN invoicer.invoice_line el USING (pay_line_id)"
        "  WHERE e.corrects_invoice_id = l.invoice_id AND e.corrects_line_no = l.line_no) c"
        " WHERE l.invoice_id = :id ORDER BY l.line_no LIMIT :most",
        id=invoice_id,
        most=limit,
    )
    return [with_money(row, "amount", "tax_amount", "amount_left") for row in rows]


async def invoice_credits(
    connection: ReadConnection, invoice_id: int, limit: int = 200
) -> list[Row]:
    """What credits the lines of a document, at most `limit` lines: on which document, how much, by whom and why, and to what end."""
    rows = await found(
        connection,
        "SELECT i.invoice_number, i.document_type, i.invoice_date, l.line_no, p.corrects_line_no AS corrects_line, p.quantity, p.unit, p.amount,"
        " l.tax_amount, p.currency, coalesce(p.derivation -> 'credit' ->> 'to', 'correction') AS credited_to, b.actor, b.reason, b.batch_id"
        " FROM invoicer.pay_line p JOIN invoicer.invoice_line l USING (pay_line_id) JOIN invoicer.invoice i ON i.invoice_id = l.invoice_id"
        " JOIN invoicer.batch b ON b.batch_id = i.batch_id"
        " WHERE p.corrects_invoice_id = :id ORDER BY i.closed_at, i.invoice_id, l.line_no LIMIT :most",
        id=invoice_id,
        most=limit,
    )
    return [with_money(row, "amount", "tax_amount") for row in rows]


async def invoice_payments(
    connection: ReadConnection, invoice_id: int, limit: int = 200
) -> list[Row]:
    """What was paid of a document, as its accounting systems say, at most `limit` entries; a negative one takes back."""
    rows = await found(
        connection,
        "SELECT ledger, payment_id, entry_no, amount, currency, paid_on, remote_id, received_at FROM invoicer.payment WHERE invoice_id = :id"
        " ORDER BY paid_on, ledger, payment_id, entry_no LIMIT :most",
        id=invoice_id,
        most=limit,
    )
    return [with_money(row, "amount") for row in rows]


async def gap_certificate(connection: ReadConnection, billing_company: str) -> list[Row]:
    """Per series: first, last, used, declared jumps with who and why, and the numbers that nothing explains (none, if all is well)."""
    series = await found(
        connection,
        "SELECT s.series, s.first_number, s.next_number, s.last_date, (SELECT count(*) FROM invoicer.invoice i"
        " WHERE i.billing_company = s.billing_company AND i.series = s.series) AS used"
        " FROM invoicer.number_series s WHERE s.billing_company = :company ORDER BY s.series",
        company=billing_company,
    )
    return [await _certificate(connection, billing_company, one) for one in series]


async def _certificate(connection: ReadConnection, billing_company: str, one: Row) -> Row:
    jumps = await found(
        connection,
        "SELECT from_number, to_number, actor, reason, command_id, jumped_at FROM invoicer.number_jump"
        " WHERE billing_company = :company AND series = :series ORDER BY from_number",
        company=billing_company,
        series=one["series"],
    )
    missing = await found(
        connection,
        MISSING,
        company=billing_company,
        series=one["series"],
        first=one["first_number"],
        next=one["next_number"],
    )
    passed_over = sum(jump["to_number"] - jump["from_number"] + 1 for jump in jumps)
    return {
        "series": one["series"],
        "first": one["first_number"],
        "last": one["next_number"] - 1,
        "last_date": one["last_date"],
        "used": one["used"],
        "passed_over": passed_over,
        "jumps": jumps,
        "unexplained": one["next_number"] - one["first_number"] - one["used"] - passed_over,
        "unexplained_ranges": missing,
    }
