"""Closed documents, and the gap certificate of their numbers.

The state of a document is derived (`console_invoice_balance`): what it charges itself, less what
credits took from it, less what is paid: what accounting systems report and received payments.
"""

from datetime import date
from decimal import Decimal

from services.console.queries.amounts import with_money
from services.console.queries.batches import HOURS
from services.console.queries.fees import fees_of_invoice
from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch
from shared.errors import Refused
from shared.stored import as_json

HEAD = (
    "i.invoice_id, i.invoice_number, i.document_type, i.billing_company, i.account_name,"
    " i.invoice_date, i.due_date,"
    " i.cut_off_date, i.currency, i.payment_terms, i.po_number, i.line_count, i.net, i.tax,"
    " i.total, i.batch_id,"
    " i.series, i.number"
)
BALANCE = (
    "CROSS JOIN LATERAL (SELECT b.credited, b.after_credits, b.paid, b.balance, b.state"
    " FROM invoicer.console_invoice_balance b WHERE b.invoice_id = i.invoice_id) s"
)
AFTER = (
    "(CAST(:last_company AS text) IS NULL OR (i.billing_company, i.series) >"
    " (:last_company, CAST(:last_series AS text)) OR (i.billing_company, i.series) ="
    " (:last_company, CAST(:last_series AS text)) AND i.number < CAST(:last_number AS bigint))"
)
"""After the last row of a page, in the order of the search."""
LAST = ("last_company", "last_series", "last_number")
AMOUNTS = ("net", "tax", "total", "credited", "after_credits", "paid", "balance")


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
    after: tuple[str, str, int] | None = None,
    limit: int = 100,
) -> tuple[list[Row], int]:
    """Documents that meet all conditions, newest numbers first, and how many there are in all.

    `after`: billing company, series and number of the last document of the page before.

    `text` is looked for in number, debtor and PO; it may also be the id of a timesheet or placement
    on the document.
    """
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
    source = f"FROM invoicer.console_invoice i WHERE {SQL['invoice_conditions']}"
    (total,) = await fetch(connection, f"SELECT count(*) AS number {source}", **values)
    rows = await fetch(
        connection,
        "SELECT i.*, h.hours, s.state, s.credited, s.after_credits, s.paid, s.balance"
        f" FROM (SELECT {HEAD} {source} AND {AFTER}"
        " ORDER BY i.billing_company, i.series, i.number DESC"
        f" LIMIT :most) i {BALANCE} {HOURS}"
        " ORDER BY i.billing_company, i.series, i.number DESC",
        **values,
        **dict(zip(LAST, after or (None,) * len(LAST), strict=True)),
        most=limit,
    )
    return [with_money(row, *AMOUNTS) for row in rows], total["number"]


async def invoice(
    connection: ReadConnection, invoice_number: str, billing_company: str | None = None
) -> Row:
    """One document without its lines.

    Refused if there is none, or if several billing companies have that number.
    """
    rows = await fetch(
        connection,
        f"SELECT {HEAD}, i.tax_regime, i.tax_wording, i.tax_basis, i.service_from, i.service_to,"
        " i.tax_totals, i.allowances, i.seller, i.buyer, i.closed_at, i.content_hash, s.state,"
        " s.credited, s.after_credits, s.paid, s.balance"
        f" FROM invoicer.console_invoice i {BALANCE} WHERE i.invoice_number = :number"
        " AND (CAST(:company AS text) IS NULL OR i.billing_company = :company)",
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
    (row,) = rows
    objects = {name: as_json(row[name]) for name in ("tax_totals", "seller", "buyer")}
    objects["allowances"] = as_json(row["allowances"]) or []
    objects["fees"] = await fees_of_invoice(connection, row["invoice_id"])
    return with_money(row | objects, *AMOUNTS)


async def one_document(
    connection: ReadConnection, invoice_number: str, billing_company: str | None = None
) -> Row:
    """One document as a batch of itself: what its files are made of and compared with.

    Refused as `invoice` is.
    """
    found = await invoice(connection, invoice_number, billing_company)
    names = ("batch_id", "billing_company", "invoice_id", "invoice_number")
    totals = {name: found[name] for name in ("currency", "net", "tax", "total")}
    return {name: found[name] for name in names} | {
        "documents": 1,
        "generated_at": found["closed_at"],
        "totals": [totals | {"documents": 1, "lines": found["line_count"]}],
    }


async def invoice_lines(connection: ReadConnection, invoice_id: int, limit: int = 200) -> list[Row]:
    """The lines of a document, at most `limit`."""
    rows = await fetch(connection, SQL["invoice_lines"], id=invoice_id, most=limit)
    return [
        with_money(row, "amount", "allowance_amount", "tax_amount", "amount_left") for row in rows
    ]


async def invoice_credits(
    connection: ReadConnection, invoice_id: int, limit: int = 200
) -> list[Row]:
    """The lines that credit a document, at most `limit`: on which document, how much, by whom
    and why.
    """
    rows = await fetch(connection, SQL["invoice_credits"], id=invoice_id, most=limit)
    return [with_money(row, "amount", "allowance_amount", "tax_amount") for row in rows]


async def invoice_payments(
    connection: ReadConnection, invoice_id: int, limit: int = 200
) -> list[Row]:
    """Payments of a document, at most `limit`: as its accounting systems report them, and received
    payments with their check; a negative one takes back.
    """
    rows = await fetch(
        connection,
        "SELECT ledger, payment_id, entry_no, amount, currency, paid_on, remote_id, received_at,"
        " check_id, bank"
        " FROM invoicer.console_payment WHERE invoice_id = :id"
        " ORDER BY paid_on, ledger, payment_id, entry_no LIMIT :most",
        id=invoice_id,
        most=limit,
    )
    return [with_money(row, "amount") for row in rows]


async def gap_certificate(connection: ReadConnection, billing_company: str) -> list[Row]:
    """Per series: first, last and used numbers, declared jumps with who and why, and the
    unexplained numbers.
    """
    series = await fetch(
        connection,
        SQL["number_series"] + " WHERE s.billing_company = :company ORDER BY s.series",
        company=billing_company,
    )
    return [await _certificate(connection, billing_company, one) for one in series]


async def next_numbers(connection: ReadConnection, billing_company: str) -> dict[str, str]:
    """The next number of each series of a billing company, as documents show it."""
    rows = await fetch(
        connection,
        SQL["number_series"] + " WHERE s.billing_company = :company ORDER BY s.series",
        company=billing_company,
    )
    return {row["series"]: on_documents(row, row["next_number"]) for row in rows}


def on_documents(series: Row, number: int) -> str:
    """A number of a series as documents show it."""
    return f"{series['series']}{number:0{series['width']}d}"


def number_span(series: Row, row: Row) -> str:
    """A range of numbers as documents show them."""
    first, last = (on_documents(series, row[f"{end}_number"]) for end in ("from", "to"))
    return first if first == last else f"{first} to {last}"


async def _certificate(connection: ReadConnection, billing_company: str, one: Row) -> Row:
    first, following = one["first_number"], one["next_number"]
    which = {"company": billing_company, "series": one["series"]}
    jumps = await fetch(
        connection,
        "SELECT from_number, to_number, actor, reason, command_id, jumped_at FROM"
        " invoicer.console_number_jump"
        " WHERE billing_company = :company AND series = :series ORDER BY from_number",
        **which,
    )
    unexplained = await fetch(
        connection, SQL["unexplained_numbers"], **which, first=first, next=following
    )
    passed_over = sum(jump["to_number"] - jump["from_number"] + 1 for jump in jumps)
    return {
        "series": one["series"],
        "first": first,
        "last": following - 1,
        "first_invoice_number": on_documents(one, first),
        "last_invoice_number": on_documents(one, following - 1),
        "last_date": one["last_date"],
        "used": one["used"],
        "passed_over": passed_over,
        "jumps": [
            jump
            | {
                f"{end}_invoice_number": on_documents(one, jump[f"{end}_number"])
                for end in ("from", "to")
            }
            for jump in jumps
        ],
        "unexplained": following - first - one["used"] - passed_over,
        "unexplained_ranges": unexplained,
        "unexplained_invoice_numbers": [number_span(one, each) for each in unexplained],
    }
