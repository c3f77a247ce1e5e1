"""Reports: what each shows, and its rows, streamed in a fixed order.

A report is of today, of the end of a day, or of a period; days are those of the billing company.
Amounts that lower the debt are negative, so that each column adds up.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from services.console.queries.ageing import ageing
from services.console.queries.amounts import with_money
from services.console.queries.companies import companies_today
from services.console.queries.snapshot import ReadConnection, Row, fetch, with_positions
from shared.calendar import AGEING_BUCKETS
from shared.errors import Refused
from shared.money import plain
from shared.sql import named_queries

ROWS_AT_ONCE = 1_000
QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
CLOSING = "closing balance"
WIDE, FILES_ONLY = 100, 10_000
"""The width of a terminal from which a column is shown, and one that no terminal has."""

Kind = Literal["text", "date", "count", "quantity", "rate", "amount", "id"]


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """A column: the field of the rows, its heading, what it holds, and its width in characters.

    `least`: how many columns a terminal must have to show it. `summed`: the totals have it.
    """

    name: str
    head: str
    kind: Kind = "text"
    width: int = 12
    least: int = 0
    summed: bool = False


def _text(name: str, head: str = "", width: int = 16, least: int = 0) -> ReportColumn:
    return ReportColumn(name, head or name.replace("_", " "), "text", width, least)


def _day(name: str, head: str = "", least: int = 0) -> ReportColumn:
    return ReportColumn(name, head or name.replace("_", " "), "date", 11, least)


def _number(
    name: str, head: str = "", kind: Kind = "amount", *, summed: bool = True, least: int = 0
) -> ReportColumn:
    return ReportColumn(name, head or name.replace("_", " "), kind, 14, least, summed)


CURRENCY = _text("currency", "currency", 9)
ACCOUNT = _text("account_name", "debtor", 30)
BY_MONTH = (
    _text("month", width=9),
    _number("lines", kind="count"),
    _number("timesheets"),
    _number("products", "products & services"),
    _number("amount"),
    CURRENCY,
)
AGES = (*AGEING_BUCKETS, "disputed")
"""What the closing balance of a statement has beside the balance."""
INVOICED = (_number("net"), _number("tax"), _number("total"), CURRENCY)


@dataclass(frozen=True, slots=True)
class Report:
    """A report: its title, what it is of, its columns in order, and whether it takes a debtor.

    `sums_by`: the columns by which its totals are apart.
    """

    name: str
    title: str
    of: Literal["today", "as-of", "period"]
    columns: tuple[ReportColumn, ...]
    by_account: bool = False
    sums_by: tuple[str, ...] = ("currency",)

    @property
    def summed(self) -> tuple[ReportColumn, ...]:
        """The columns that the totals have."""
        return tuple(column for column in self.columns if column.summed)


REPORTS = {
    report.name: report
    for report in (
        Report("pending", "pending by month", "today", BY_MONTH),
        Report("scheduled", "scheduled by month", "today", BY_MONTH),
        Report(
            "unbilled",
            "unbilled revenue",
            "as-of",
            (
                _text("status", width=22),
                _text("kind", width=11),
                _day("week_ending"),
                _text("period", width=9),
                _number("documents", kind="count", summed=False),
                _number("lines", kind="count", least=WIDE),
                _number("hours", kind="quantity"),
                _number("amount"),
                CURRENCY,
            ),
        ),
        Report(
            "register",
            "invoice register",
            "period",
            (
                _text("invoice_number", "number"),
                _text("document_type", "type", 12, WIDE),
                _day("invoice_date", "date"),
                _day("due_date", "due"),
                ACCOUNT,
                _text("po_number", "PO", least=FILES_ONLY),
                _number("lines", kind="count", least=WIDE),
                *INVOICED,
                _day("cut_off_date", "cut-off", least=FILES_ONLY),
                _text("batch_id", "batch", 22, least=FILES_ONLY),
            ),
            by_account=True,
        ),
        Report(
            "credits",
            "credits",
            "period",
            (
                _text("invoice_number", "number"),
                ReportColumn("line_no", "line", "id", 7, least=FILES_ONLY),
                _day("invoice_date", "date"),
                ACCOUNT,
                _text("corrects_invoice", "corrects"),
                ReportColumn("corrects_line", "its line", "id", 8, WIDE),
                _text("document_id", "document", 24),
                _text("description", width=42, least=FILES_ONLY),
                _number("quantity", kind="quantity", summed=False, least=WIDE),
                _text("unit", width=6, least=FILES_ONLY),
                _number("net"),
                _number("tax", least=WIDE),
                _number("total", least=FILES_ONLY),
                CURRENCY,
                _text("credited_to", "to", 14),
                _text("actor", width=12, least=FILES_ONLY),
                _text("reason", width=30, least=FILES_ONLY),
            ),
            by_account=True,
        ),
        Report(
            "snoozed",
            "snoozed lines",
            "today",
            (
                ReportColumn("pay_line_id", "line", "id", 9),
                _text("document_id", "document", 24),
                ACCOUNT,
                _text("description", width=42, least=FILES_ONLY),
                _day("week_ending", least=FILES_ONLY),
                _day("effective_date", "effective", WIDE),
                _number("quantity", kind="quantity", summed=False, least=WIDE),
                _text("unit", width=6, least=FILES_ONLY),
                _number("amount"),
                CURRENCY,
                _text("reason", width=40),
                _text("actor", width=12, least=WIDE),
                _day("since", least=FILES_ONLY),
                _day("until"),
            ),
            by_account=True,
        ),
        Report(
            "held",
            "held documents",
            "as-of",
            (
                _text("document_kind", "kind", 11, least=FILES_ONLY),
                _text("document_id", "document", 30),
                _text("billing_company", "billing company", least=FILES_ONLY),
                _text("code", width=18),
                _text("message", width=60),
                _day("since", least=WIDE),
                _number("days", kind="count", summed=False),
                _day("effective_date", "effective", least=FILES_ONLY),
                _number("hours", kind="quantity"),
            ),
            sums_by=(),
        ),
        Report(
            "products",
            "product revenue",
            "period",
            (
                _text("item_class", "class"),
                _text("family"),
                _text("variant"),
                _text("item_id", "item"),
                _number("lines", kind="count", least=WIDE),
                _number("quantity", kind="quantity"),
                _number("net"),
                _number("tax", least=WIDE),
                _number("total", least=WIDE),
                CURRENCY,
            ),
        ),
        Report(
            "fees",
            "MSP fees",
            "period",
            (
                _text("option_name", "option"),
                _text("funded_by", "funded by", 9, least=WIDE),
                _text("charged_as", "as", 8),
                _number("percent", kind="quantity"),
                _number("documents", kind="count", least=WIDE),
                _number("base"),
                _number("net"),
                CURRENCY,
            ),
        ),
        Report(
            "tax",
            "tax by code",
            "period",
            (
                _text("month", width=9),
                _text("tax_code", "code", 10),
                _number("tax_rate", "rate %", "rate", summed=False),
                _number("documents", kind="count", summed=False),
                _number("net"),
                _number("tax"),
                CURRENCY,
            ),
        ),
        Report(
            "hours",
            "hours",
            "period",
            (
                _text("client", width=24),
                _text("requirement_id", "requirement", 24),
                _text("job_title", width=24, least=FILES_ONLY),
                _text("worker_id", "worker", 18),
                _text("unit", width=6, least=WIDE),
                _number("billed", kind="quantity"),
                _number("unbilled", kind="quantity"),
                _number("billed_amount", "amount billed", least=WIDE),
                _number("unbilled_amount", "amount unbilled", least=WIDE),
                CURRENCY,
            ),
            sums_by=("unit", "currency"),
        ),
        Report(
            "statement",
            "statement of account",
            "period",
            (
                ACCOUNT,
                _day("day", "date"),
                _text("entry", width=16),
                _text("invoice_number", "document"),
                _text("payment", width=24, least=WIDE),
                _day("due_date", "due", WIDE),
                _number("amount"),
                _number("balance", summed=False),
                CURRENCY,
                *(ReportColumn(age, age, "amount", 12, least=FILES_ONLY) for age in AGES),
            ),
            by_account=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Span:
    """The days of a report: today there, the day as of which it is, and its period."""

    today: date
    as_of: date
    since: date
    until: date

    def words(self, report: Report) -> str:
        """The days that count for a report, for its title."""
        if report.of == "period":
            return f"{self.since} to {self.until}"
        return f"on {self.today if report.of == 'today' else self.as_of}"


async def span_of(
    connection: ReadConnection,
    billing_company: str,
    as_of: date | None = None,
    since: date | None = None,
    until: date | None = None,
) -> Span:
    """The days of a report. Not given: as of today; from the first of the month of the last day.

    Refused for a billing company that no command has set, and if the period ends before it begins.
    """
    known = await fetch(
        connection,
        "SELECT 1 FROM fee_realizer.console_billing_company WHERE billing_company = :company",
        company=billing_company,
    )
    if not known:
        raise Refused(
            "unknown_billing_company",
            f"there is no billing company {billing_company}",
            "see `backoffice billing-company show`",
        )
    today = (await companies_today(connection, billing_company))[billing_company]
    last = until or (max(today, since) if since else today)
    first = since or last.replace(day=1)
    if first > last:
        raise Refused(
            "period_ends_before_it_begins",
            f"the period is from {first} to {last}",
            "give --from a day that is not after --to",
        )
    return Span(today, as_of or today, first, last)


async def report_rows(
    connection: ReadConnection,
    report: Report,
    billing_company: str,
    span: Span,
    account_name: str | None = None,
) -> AsyncGenerator[Row, None]:
    """The rows of a report, through a cursor; each has its columns, amounts in currency decimals.

    The closing balance of a statement has what is owed by age, and what of that is disputed.
    """
    values = {
        "company": billing_company,
        "today": span.today,
        "as_of": span.as_of,
        "since": span.since,
        "until": span.until,
        "account": account_name,
    }
    ages: dict[tuple[str, str], Row] = {}
    no_ages: Row = dict.fromkeys(AGES) if report.name == "statement" else {}
    if no_ages:
        due = await ageing(connection, billing_company, span.until)
        ages = {(row["account_name"], row["currency"]): row for row in due["debtors"]}
    sql, ordered = with_positions(QUERIES[report.name], values)
    money = [column.name for column in report.columns if column.kind == "amount"]
    async for record in connection.cursor(sql, *ordered, prefetch=ROWS_AT_ONCE):
        row = no_ages | dict(record)
        if row.get("entry") == CLOSING:
            aged = ages.get((row["account_name"], row["currency"]), {})
            row |= {age: aged.get(age, Decimal(0)) for age in AGES}
        yield with_money(row, *money)


@dataclass
class Totals:
    """How many rows a report has, and the sums of its summed columns, per currency and unit."""

    report: Report
    count: int = 0
    sums: dict[tuple[str, ...], dict[str, Decimal]] = field(default_factory=dict)

    def add(self, row: Mapping[str, object]) -> None:
        """Adds a row."""
        self.count += 1
        key = tuple(str(row.get(name) or "") for name in self.report.sums_by)
        sums = self.sums.setdefault(key, {})
        for column in self.report.summed:
            value = row[column.name]
            if isinstance(value, int | Decimal):
                sums[column.name] = sums.get(column.name, Decimal(0)) + value

    @property
    def rows(self) -> list[Row]:
        """The sums; last those without a currency, such as held hours."""
        in_order = sorted(self.sums.items(), key=lambda each: (not all(each[0]), each[0]))
        return [
            dict(zip(self.report.sums_by, key, strict=True))
            | {column.name: _shown(column, sums.get(column.name)) for column in self.report.summed}
            for key, sums in in_order
        ]


def _shown(column: ReportColumn, value: Decimal | None) -> Decimal | None:
    """A sum as it is shown: quantities and counts without trailing zeros."""
    return value if value is None or column.kind == "amount" else Decimal(plain(value))
