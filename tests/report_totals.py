"""The totals of all reports of a billing company, compared with the tables that `verify` sums."""

import re
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from services.console.queries.reports import CLOSING, REPORTS, Totals, report_rows, span_of
from services.console.queries.snapshot import ReadConnection
from shared.calendar import AGEING_BUCKETS

EVER = {"since": date(1990, 1, 1), "until": date(2190, 1, 1)}
ON_DOCUMENTS = """
  FROM invoicer.invoice_line l JOIN invoicer.pay_line p USING (pay_line_id)
  WHERE p.billing_company = :company"""
NOT_ON_DOCUMENTS = """
  FROM (SELECT pay_line_id FROM invoicer.open_line
        UNION ALL SELECT pay_line_id FROM invoicer.draft_line) AS place
  JOIN invoicer.pay_line p USING (pay_line_id) WHERE p.billing_company = :company"""
NET_AND_TAX = "sum(p.amount + l.allowance_amount) AS net, sum(l.tax_amount) AS tax"
TOTAL = "sum(p.amount + l.allowance_amount + l.tax_amount) AS total"
TABLES = {
    "unbilled": f"SELECT p.currency, count(*) AS lines, sum(p.amount) AS amount{NOT_ON_DOCUMENTS}",
    "register": f"""
      SELECT p.currency, count(*) AS lines, {NET_AND_TAX}, {TOTAL}{ON_DOCUMENTS}""",
    "credits": f"""
      SELECT p.currency, {NET_AND_TAX}, {TOTAL}{ON_DOCUMENTS}
        AND (p.corrects_invoice_id IS NOT NULL OR p.amount < 0)""",
    "products": f"""
      SELECT p.currency, count(*) AS lines, sum(p.quantity) AS quantity, {NET_AND_TAX},
        {TOTAL}{ON_DOCUMENTS}
        AND p.line_kind = 'product'""",
    "fees": """
      SELECT i.currency, count(*) AS documents, sum(f.base) AS base, sum(f.amount) AS net
      FROM invoicer.document_fee f JOIN invoicer.invoice i USING (invoice_id)
      WHERE i.billing_company = :company""",
    "tax": f"SELECT p.currency, {NET_AND_TAX}{ON_DOCUMENTS}",
    "statement": """
      SELECT currency, sum(amount) AS amount FROM (
        SELECT i.currency, b.balance AS amount
        FROM invoicer.invoice i JOIN invoicer.invoice_balance b USING (invoice_id)
        WHERE i.billing_company = :company
        UNION ALL
        SELECT currency, -unapplied FROM invoicer.received_payment_balance
        WHERE billing_company = :company) owed""",
    "open": f"SELECT p.currency, sum(p.amount) AS amount{NOT_ON_DOCUMENTS}",
    "billed hours": f"""
      SELECT p.currency, sum(p.quantity) AS billed, sum(p.amount) AS billed_amount{ON_DOCUMENTS}
        AND p.line_kind = 'timesheet'""",
    "unbilled hours": f"""
      SELECT p.currency, sum(p.quantity) AS unbilled, sum(p.amount) AS unbilled_amount
      {NOT_ON_DOCUMENTS} AND p.line_kind = 'timesheet'""",
}
"""What each report must add up to, per currency, from the tables."""
SUMMED = re.compile(r"\bAS (\w+)")
"""The columns that such a query sums."""
HELD = """
  SELECT document_kind, document_id, hold_code FROM fee_realizer.held_document
  WHERE billing_company IN (:company, '')"""

Sums = dict[str, dict[str, Decimal]]


async def rows_of(
    connection: ReadConnection, name: str, company: str, today: date | None = None, **days: date
) -> list[dict[str, Any]]:
    """All rows of a report, of all time if it is of a period. `today`: in place of today there."""
    report = REPORTS[name]
    span = await span_of(connection, company, **(EVER if report.of == "period" else {}) | days)
    if today is not None:
        span = replace(span, today=today, as_of=days.get("as_of", today))
    async with aclosing(report_rows(connection, report, company, span)) as rows:
        return [row async for row in rows]


async def check_reports(
    connection: ReadConnection, select: Any, company: str, today: date | None = None
) -> Mapping[str, int]:
    """Compares the totals of each report with the tables; returns how many rows each has.

    `select`: an asynchronous query of the tables, as their owner, that returns rows.
    """
    rows = {name: await rows_of(connection, name, company, today) for name in REPORTS}
    for name, report in REPORTS.items():
        columns = {column.name for column in report.columns}
        assert all(row.keys() == columns for row in rows[name]), name
    found = {name: _sums(name, rows[name]) for name in REPORTS}
    for name, wanted in TABLES.items():
        expected = _without_zeros(
            {
                row["currency"]: {key: value for key, value in row.items() if key != "currency"}
                for row in [
                    dict(one._mapping)
                    for one in await select(f"{wanted} GROUP BY 1", company=company)
                ]
            }
        )
        shown = _shown(name, found)
        assert shown == expected, f"{name}: the report has {shown}, the tables have {expected}"
    _check_statement(rows["statement"])
    held = {tuple(one) for one in await select(HELD, company=company)}
    shown = [(row["document_kind"], row["document_id"], row["code"]) for row in rows["held"]]
    assert sorted(shown) == sorted(held)
    assert all(row["days"] >= 0 for row in rows["held"])
    in_unbilled = sum(r["documents"] for r in rows["unbilled"] if r["status"].startswith("held"))
    assert in_unbilled == len(held)
    return {name: len(of) for name, of in rows.items()}


def _sums(name: str, rows: list[dict[str, Any]]) -> Sums:
    totals = Totals(REPORTS[name])
    for row in rows:
        totals.add(row)
    sums: Sums = {}
    for row in totals.rows:
        of = sums.setdefault(str(row.get("currency", "")), {})
        for column in REPORTS[name].summed:
            if row[column.name] is not None:
                of[column.name] = of.get(column.name, Decimal(0)) + row[column.name]
    return sums


def _shown(name: str, found: Mapping[str, Sums]) -> Sums:
    """What the reports say of this: one report, two parts of one, or three of which each line is in
    exactly one.
    """
    if name == "open":
        together: Sums = {}
        for part in ("pending", "scheduled", "snoozed"):
            for currency, sums in found[part].items():
                of = together.setdefault(currency, {"amount": Decimal(0)})
                of["amount"] += sums["amount"]
        return _without_zeros(together)
    sums = found["hours" if name.endswith(" hours") else name]
    wanted = set(SUMMED.findall(TABLES[name]))
    return _without_zeros(
        {
            currency: {key: value for key, value in of.items() if key in wanted}
            for currency, of in sums.items()
        }
    )


def _without_zeros(sums: Sums) -> Sums:
    """Without what is zero: a currency of which nothing is left may be in a report or not."""
    kept = {name: {key: v for key, v in of.items() if v} for name, of in sums.items() if name}
    return {name: of for name, of in kept.items() if of}


def _check_statement(rows: list[dict[str, Any]]) -> None:
    """The amounts of an account add up to its closing balance, and so do its ages."""
    sums: dict[tuple[str, str], Decimal] = {}
    for row in rows:
        account = row["account_name"], row["currency"]
        sums[account] = sums.get(account, Decimal(0)) + (row["amount"] or 0)
        assert row["balance"] == sums[account]
        if row["entry"] == CLOSING:
            assert row["balance"] == sum(row[age] for age in AGEING_BUCKETS)
