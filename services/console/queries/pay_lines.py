"""Pay lines with their derived status, held documents, and the two amounts of the pending list.

The status is derived from the company's date, which is an argument: Scheduled (effective after
today), Snoozed (due, on hold), Pending (open and due), Draft (on a draft that waits for approval),
Invoiced (on a closed document). A snooze holds debits only, until it is released or its until-date
has come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

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
OF_NODE = (
    f"{CORRECTED} LEFT JOIN invoicer.console_node_debtor n ON n.node_id = p.billto_node"
    " LEFT JOIN invoicer.console_agreement_debtor g ON g.billing_company = p.billing_company"
)
DEBTOR = "coalesce(c.account_name, n.account_name, g.account_name)"
"""The debtor of a line that is on no document: that of the invoice that it corrects, else that of
its billto node or its self-billing agreement as of now."""
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
NO_HOLD = (
    "NULL AS hold_code, NULL AS hold_reason, NULL AS held_by, CAST(NULL AS date) AS held_until"
)
NO_INVOICE = "NULL AS invoice_number, CAST(NULL AS integer) AS line_no"
CONDITIONS = {
    "document": "p.document_id = :document",
    "corrects": "c.invoice_number = :corrects",
    "since": "p.service_to >= :since",
    "until": "p.service_from <= :until",
    "account_name": "{debtor} = :account_name",
    "worker": "p.worker_id = :worker",
    "week": "p.week_ending = :week",
    "reason": "strpos(lower({reason}), lower(:reason)) > 0",
    "lines": "p.pay_line_id = ANY(CAST(:lines AS bigint[]))",
}
"""A condition for each filter; a query has only those of filters that are given."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where lines in some statuses are: the columns and expressions that differ between them."""

    statuses: tuple[str, ...]
    status: str
    debtor: str
    reason: str
    columns: str
    tables: str


SOURCES = (
    Source(
        OPEN_STATUSES,
        STATUS,
        DEBTOR,
        "concat_ws(' ', s.code, s.reason)",
        f"{HOLD}, {NO_INVOICE}",
        f"{OPEN}{OF_NODE}",
    ),
    Source(("Draft",), "'Draft'", DEBTOR, "''", f"{NO_HOLD}, {NO_INVOICE}", f"{DRAFT}{OF_NODE}"),
    Source(
        ("Invoiced",),
        "'Invoiced'",
        "i.account_name",
        "''",
        f"{NO_HOLD}, i.invoice_number, il.line_no",
        f"{INVOICED}{CORRECTED}",
    ),
)
SORTS = {
    "oldest": ("p.pay_line_id", "ASC", "bigint"),
    "newest": ("p.pay_line_id", "DESC", "bigint"),
    "largest": ("p.amount", "DESC", "numeric"),
    "smallest": ("p.amount", "ASC", "numeric"),
}
"""Orders of a page of lines: what is compared first, then the id of the line."""


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Which lines: all conditions that are given must hold.

    `corrects`: the number of an invoice. `since`, `until`: the service period has a day in between.
    `reason`: a part of why a line is on hold. `lines`: ids.
    """

    statuses: Sequence[str] = OPEN_STATUSES
    document: str | None = None
    account_name: str | None = None
    corrects: str | None = None
    since: date | None = None
    until: date | None = None
    worker: str | None = None
    week: date | None = None
    reason: str | None = None
    lines: Sequence[int] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The values of the conditions that are given."""
        every = {name: getattr(self, name) for name in CONDITIONS}
        return {name: value for name, value in every.items() if value is not None}


def _sources(chosen: LineFilter) -> list[tuple[Source, str]]:
    """The sources that have such lines, each with its FROM and WHERE."""
    found = []
    for source in SOURCES:
        if not set(source.statuses) & set(chosen.statuses):
            continue
        conditions = [
            CONDITIONS[name].format(debtor=source.debtor, reason=source.reason)
            for name in chosen.values
        ]
        if not set(source.statuses) <= set(chosen.statuses):
            conditions.append(f"{source.status} = ANY(CAST(:statuses AS text[]))")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        found.append((source, f"{source.tables}{where}"))
    return found


def _values(chosen: LineFilter, todays: Mapping[str, date]) -> dict[str, Any]:
    values = {name: list(each) if name == "lines" else each for name, each in chosen.values.items()}
    return {**_by_company(todays), **values, "statuses": list(chosen.statuses)}


async def pay_lines(
    connection: ReadConnection,
    todays: Mapping[str, date],
    limit: int = 100,
    **conditions: Any,
) -> tuple[list[Row], int]:
    """Lines that meet all conditions (see `LineFilter`), oldest first, at most `limit`, and how
    many there are in all.
    """
    chosen = LineFilter(**conditions)
    rows: list[Row] = []
    total = 0
    for source, place in _sources(chosen):
        found, number = await fetch_page(
            connection,
            f"{LINE}, {source.status} AS status, {source.debtor} AS account_name, {source.columns}",
            place,
            "p.pay_line_id",
            max(0, limit - len(rows)),
            **_values(chosen, todays),
        )
        rows += found
        total += number
    return [with_money(row, "amount") for row in rows], total


async def page_of_lines(
    connection: ReadConnection,
    todays: Mapping[str, date],
    chosen: LineFilter,
    *,
    sort: str = "oldest",
    after: tuple[Any, int] | None = None,
    limit: int = 100,
) -> tuple[list[Row], tuple[Any, int] | None]:
    """One page of lines in the order of `sort`, and the key after which the next one begins.

    `after` is the key of the last line that was shown; the next key is None on the last page. The
    time does not depend on how far into the list a page is.
    """
    key, direction, kind = SORTS[sort]
    parts = []
    for source, place in _sources(chosen):
        comes_later = ""
        if after is not None:
            sign = ">" if direction == "ASC" else "<"
            comes_later = f" AND ({key}, p.pay_line_id) {sign} (CAST(:key AS {kind}), :line)"
            place = place if " WHERE " in place else f"{place} WHERE true"
        parts.append(
            f"(SELECT {LINE}, {source.status} AS status, {source.debtor} AS account_name,"
            f" {source.columns}, {key} AS sort_key FROM {place}{comes_later}"
            f" ORDER BY {key} {direction}, p.pay_line_id {direction} LIMIT :most)"
        )
    if not parts:
        return [], None
    rows = await fetch(
        connection,
        f"SELECT * FROM ({' UNION ALL '.join(parts)}) l"
        f" ORDER BY sort_key {direction}, pay_line_id {direction} LIMIT :most",
        **_values(chosen, todays),
        most=limit + 1,
        **({} if after is None else {"key": after[0], "line": after[1]}),
    )
    last = rows[limit - 1] if len(rows) > limit else None
    following = None if last is None else (last["sort_key"], last["pay_line_id"])
    for row in rows:
        row.pop("sort_key")
    return [with_money(row, "amount") for row in rows[:limit]], following


async def line_totals(
    connection: ReadConnection, todays: Mapping[str, date], chosen: LineFilter
) -> list[Row]:
    """How many lines there are and their net, by billing company and currency."""
    parts = [
        f"SELECT p.billing_company, p.currency, count(*) AS lines, sum(p.amount) AS amount"
        f" FROM {place} GROUP BY 1, 2"
        for _, place in _sources(chosen)
    ]
    if not parts:
        return []
    rows = await fetch(
        connection,
        "SELECT billing_company, currency, CAST(sum(lines) AS bigint) AS lines,"
        f" sum(amount) AS amount FROM ({' UNION ALL '.join(parts)}) l GROUP BY 1, 2 ORDER BY 1, 2",
        **_values(chosen, todays),
    )
    return [with_money(row, "amount") for row in rows]


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


async def held_document(connection: ReadConnection, document_id: str) -> Row | None:
    """Why a document waits, and since when; None if it does not."""
    rows = await fetch(
        connection,
        "SELECT document_kind, hold_code AS code, hold_message AS message, held_since"
        " FROM fee_realizer.console_held_document WHERE document_id = :id LIMIT 1",
        id=document_id,
    )
    return rows[0] if rows else None


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


async def lines_by_company(
    connection: ReadConnection, pay_line_ids: Sequence[int]
) -> dict[str, list[int]]:
    """The known ones of these lines, by billing company."""
    rows = await fetch(
        connection,
        "SELECT billing_company, array_agg(pay_line_id ORDER BY pay_line_id) AS ids"
        " FROM invoicer.console_pay_line WHERE pay_line_id = ANY(CAST(:ids AS bigint[]))"
        " GROUP BY 1 ORDER BY 1",
        ids=list(pay_line_ids),
    )
    return {row["billing_company"]: row["ids"] for row in rows}


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
