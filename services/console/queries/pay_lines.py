"""Pay lines with their derived status, held documents, and the two amounts of the pending list.

The status is derived from the company's date, which is an argument: Scheduled (effective after
today), Snoozed (due, on hold), Pending (open and due), Draft (on a draft that waits for approval),
Invoiced (on a closed document). A snooze holds debits only, until it is released or its until-date
has come.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import ReadConnection, Row, fetch, fetch_page
from shared.errors import Refused

OPEN_STATUSES = ("Pending", "Scheduled", "Snoozed")
STATUSES = (*OPEN_STATUSES, "Draft", "Invoiced")

LINE = (
    "p.pay_line_id, p.billing_company, p.document_kind, p.document_id, p.realization_no,"
    " p.line_kind, p.description,"
    " p.worker_id, p.requirement_id, p.time_type, p.item_id, p.week_ending, p.effective_date,"
    " p.service_from, p.service_to, p.quantity, p.unit, p.unit_price, p.amount, p.currency,"
    " p.po_number, p.billto_node, c.invoice_number AS corrects_invoice,"
    " p.corrects_line_no AS corrects_line"
)
TODAY = "unnest(CAST(:companies AS text[]), CAST(:todays AS date[])) AS t(billing_company, today)"
STATUS = (
    "CASE WHEN p.effective_date > t.today THEN 'Scheduled' WHEN s.line_key IS NOT NULL THEN"
    " 'Snoozed' ELSE 'Pending' END"
)
OPEN = (
    f"{TODAY} JOIN invoicer.console_open_line o USING (billing_company)"
    " JOIN invoicer.console_pay_line p USING (pay_line_id)"
    " LEFT JOIN invoicer.console_snooze s ON s.document_kind = p.document_kind AND s.document_id ="
    " p.document_id"
    " AND s.line_key = p.line_key AND p.corrects_invoice_id IS NULL AND (s.until_date IS NULL OR"
    " s.until_date > t.today)"
)
CORRECTED = " LEFT JOIN invoicer.console_invoice c ON c.invoice_id = p.corrects_invoice_id"
OF_NODE = f"{CORRECTED} LEFT JOIN invoicer.console_node_debtor n ON n.node_id = p.billto_node"
DEBTOR = "coalesce(c.account_name, n.account_name)"
"""The debtor of a line that is on no document: that of the invoice that it corrects, else that of
its billto node as of now."""
DRAFT = (
    f"{TODAY} JOIN invoicer.console_pay_line p USING (billing_company)"
    " JOIN invoicer.console_draft_line d USING (pay_line_id)"
)
INVOICED = (
    f"{TODAY} JOIN invoicer.console_pay_line p USING (billing_company)"
    " JOIN invoicer.console_invoice_line il USING (pay_line_id) JOIN invoicer.console_invoice i"
    " USING (invoice_id)"
)
HOLD = (
    "s.code AS hold_code, s.reason AS hold_reason, s.actor AS held_by, s.until_date AS held_until"
)
NO_HOLD = "NULL AS hold_code, NULL AS hold_reason, NULL AS held_by, NULL AS held_until"
NO_INVOICE = "NULL AS invoice_number, NULL AS line_no"
FILTERS = (
    "(CAST(:document AS text) IS NULL OR p.document_id = :document)"
    " AND (CAST(:corrects AS text) IS NULL OR c.invoice_number = :corrects)"
    " AND (CAST(:since AS date) IS NULL OR p.service_to >= :since)"
    " AND (CAST(:until AS date) IS NULL OR p.service_from <= :until)"
    " AND (CAST(:account AS text) IS NULL OR :account = {debtor})"
)
SOURCES = (
    (
        OPEN_STATUSES,
        f"{STATUS} AS status, {DEBTOR} AS account_name, {HOLD}, {NO_INVOICE}",
        f"{OPEN}{OF_NODE} WHERE {FILTERS.format(debtor=DEBTOR)}"
        f" AND {STATUS} = ANY(CAST(:statuses AS text[]))",
    ),
    (
        ("Draft",),
        f"'Draft' AS status, {DEBTOR} AS account_name, {NO_HOLD}, {NO_INVOICE}",
        f"{DRAFT}{OF_NODE} WHERE {FILTERS.format(debtor=DEBTOR)}",
    ),
    (
        ("Invoiced",),
        f"'Invoiced' AS status, i.account_name, {NO_HOLD}, i.invoice_number, il.line_no",
        f"{INVOICED}{CORRECTED} WHERE {FILTERS.format(debtor='i.account_name')}",
    ),
)
"""Statuses, the columns that differ between them, and where lines in them are."""


async def pay_lines(
    connection: ReadConnection,
    todays: Mapping[str, date],
    *,
    statuses: Sequence[str] = OPEN_STATUSES,
    document: str | None = None,
    account_name: str | None = None,
    corrects: str | None = None,
    since: date | None = None,
    until: date | None = None,
    limit: int = 100,
) -> tuple[list[Row], int]:
    """Lines in these statuses that meet all conditions, oldest first, at most `limit`, and how
    many there are in all.

    `corrects`: the number of an invoice. `since`, `until`: the service period has a day in between.
    """
    rows: list[Row] = []
    total = 0
    for covered, columns, source in SOURCES:
        if set(covered) & set(statuses):
            found, number = await fetch_page(
                connection,
                f"{LINE}, {columns}",
                source,
                "p.pay_line_id",
                max(0, limit - len(rows)),
                **_by_company(todays),
                document=document,
                account=account_name,
                corrects=corrects,
                since=since,
                until=until,
                statuses=list(statuses),
            )
            rows += found
            total += number
    return [with_money(row, "amount") for row in rows], total


def _by_company(todays: Mapping[str, date]) -> dict[str, list[object]]:
    return {"companies": list(todays), "todays": list(todays.values())}


async def pending_amounts(connection: ReadConnection, todays: Mapping[str, date]) -> list[Row]:
    """Per billing company and currency the net of open lines that are due and not snoozed,
    credits negative.
    """
    rows = await fetch(
        connection,
        "SELECT p.billing_company, p.currency,"
        " coalesce(sum(p.amount) FILTER (WHERE p.line_kind = 'timesheet'), 0) AS amount_timesheets,"
        " coalesce(sum(p.amount) FILTER (WHERE p.line_kind = 'product'), 0) AS"
        " amount_products_and_services,"
        f" count(*) AS lines FROM {OPEN} WHERE {STATUS} = 'Pending' GROUP BY 1, 2 ORDER BY 1, 2",
        **_by_company(todays),
    )
    return [with_money(row, "amount_timesheets", "amount_products_and_services") for row in rows]


async def scheduled_amounts(
    connection: ReadConnection, todays: Mapping[str, date], days: int
) -> list[Row]:
    """Per billing company and currency the net of open lines that become due within so many days
    after today, credits negative.
    """
    rows = await fetch(
        connection,
        "SELECT p.billing_company, p.currency, sum(p.amount) AS amount, count(*) AS lines"
        f" FROM {OPEN} WHERE p.effective_date > t.today AND p.effective_date <= t.today + :days"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        **_by_company(todays),
        days=days,
    )
    return [with_money(row, "amount") for row in rows]


async def held_documents(
    connection: ReadConnection, billing_company: str | None = None, limit: int = 100
) -> tuple[list[Row], int]:
    """Documents that wait, longest first, with code and message; and how many there are in all."""
    return await fetch_page(
        connection,
        "document_kind, document_id, source_id, revision, billing_company, hold_code AS code,"
        " hold_message AS message,"
        " held_since",
        "fee_realizer.console_held_document WHERE CAST(:company AS text) IS NULL OR"
        " billing_company = :company",
        "held_since, document_id",
        limit,
        company=billing_company,
    )


async def held_counts(connection: ReadConnection, billing_company: str | None = None) -> list[Row]:
    """How many documents wait, by billing company and code; under '' those whose company is not
    known yet.
    """
    return await fetch(
        connection,
        "SELECT billing_company, hold_code AS code, count(*) AS documents FROM"
        " fee_realizer.console_held_document"
        " WHERE CAST(:company AS text) IS NULL OR billing_company IN (:company, '') GROUP BY 1, 2"
        " ORDER BY 1, 2",
        company=billing_company,
    )


async def company_of_lines(connection: ReadConnection, pay_line_ids: Sequence[int]) -> str:
    """The one billing company of these lines.

    Refused if a line is unknown or they belong to several companies.
    """
    rows = await fetch(
        connection,
        "SELECT pay_line_id, billing_company FROM invoicer.console_pay_line"
        " WHERE pay_line_id = ANY(CAST(:ids AS bigint[]))",
        ids=list(pay_line_ids),
    )
    missing = sorted(set(pay_line_ids) - {row["pay_line_id"] for row in rows})[:20]
    if missing:
        raise Refused(
            "unknown_pay_line",
            f"there is no pay line {', '.join(map(str, missing))}",
            "see `backoffice pay-lines list`",
            pay_line_ids=missing,
        )
    companies = sorted({row["billing_company"] for row in rows})
    if len(companies) != 1:
        raise Refused(
            "several_companies",
            f"these lines belong to {', '.join(companies)}",
            "name the lines of one billing company at a time",
        )
    return str(companies[0])
