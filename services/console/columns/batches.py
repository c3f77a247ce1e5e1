"""Columns of batches and previews, and of the findings of a health check."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from services.console.columns import Column

BATCHES = [
    Column("batch_id", "batch"),
    Column("billing_company"),
    Column("cut_off_date", "cut-off"),
    Column("invoice_date"),
    Column("documents", figures=True),
    Column("line_count", "lines", figures=True),
    Column("numbers"),
    Column("total", figures=True),
    Column("actor"),
    Column("generated_at", "generated"),
    Column("downloaded_on", "downloaded on"),
]
DOWNLOADS = [
    Column("downloaded_at", "downloaded on"),
    Column("file_format", "format"),
    Column("layout"),
    Column("invoice_number", "document"),
    Column("actor"),
]
TOTALS = [
    Column("currency", ""),
    Column("documents", figures=True),
    Column("lines", figures=True),
    Column("quantity", figures=True),
    Column("hours", figures=True),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("total", figures=True),
]
DOCUMENTS = [
    Column("document_no", "", ids=True),
    Column("invoice_number", "number"),
    Column("document_type", "type"),
    Column("account_name", most=40),
    Column("po_number", "PO"),
    Column("payment_terms", "terms"),
    Column("due_date", "due"),
    Column("line_count", "lines", figures=True),
    Column("hours", figures=True),
    Column("allowance", figures=True),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("total", figures=True),
    Column("currency", ""),
]
PREVIEW_LINES = [
    Column("document_no", "", ids=True),
    Column("reason"),
    Column("pay_line_id", "line", ids=True),
    Column("account_name", "debtor", most=40),
    Column("document_id", "document", most=40),
    Column("description", most=70),
    Column("service"),
    Column("quantity", figures=True),
    Column("unit", ""),
    Column("unit_price", "price", price=True),
    Column("amount", figures=True),
    Column("currency", ""),
    Column("corrects"),
]
PARKED = [Column("account_name", most=40), Column("code"), Column("message", most=400)]
LEFT_OUT = [Column("reason"), Column("lines", figures=True), Column("pay_line_ids", "pay lines")]
FINDINGS = [
    Column("severity"),
    Column("code"),
    Column("count", figures=True),
    Column("message", most=600),
    Column("fix", "to fix it", most=400),
]
SEVERITIES = ("error", "warning", "info")


def number_range(row: Mapping[str, Any]) -> str:
    """The first and the last number of a batch."""
    first, last = row["first_number"], row["last_number"]
    return str(first) if first == last else f"{first} … {last}"


def total_of(row: Mapping[str, Any]) -> str:
    """The total of a batch in each of its currencies."""
    return ", ".join(f"{Decimal(each['total']):,f} {each['currency']}" for each in row["totals"])


def finding_rows(findings: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Findings, the worst first, each with its first ids."""
    rows = [dict(finding) for finding in findings]
    for row in rows:
        ids = ", ".join(row["ids"][:5])
        if ids:
            row["message"] = f"{row['message']} [{ids}{', …' if row['count'] > 5 else ''}]"
    return sorted(rows, key=lambda row: SEVERITIES.index(row["severity"]))


def line_cells(row: dict[str, Any]) -> dict[str, Any]:
    """A line as tables show it: its service dates, and the line that it corrects."""
    since, until = row["service_from"], row["service_to"]
    corrected = f"{row['corrects_invoice']} line {row['corrects_line']}"
    return row | {
        "service": str(since) if since == until else f"{since} to {until}",
        "corrects": corrected if row["corrects_invoice"] else "",
    }


def with_hours(
    totals: list[dict[str, Any]], hours: Mapping[str, Decimal | str]
) -> list[dict[str, Any]]:
    """Totals by currency with the hours of each."""
    return [row | {"hours": hours.get(row["currency"])} for row in totals]
