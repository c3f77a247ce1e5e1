"""CSV of closed documents: one record per line, RFC 4180 with CRLF, one string at a time.

Owns the order of the columns, on which other programs rely: new columns are added at the end only.
Numbers and dates are written unchanged. Text comes from other systems and is opened in
spreadsheets, so what a spreadsheet would read as a formula gets an apostrophe before it (a worker
id "=1+1" is written "'=1+1"): at the start of a text, and after each semicolon, tab or line end in
it, because a spreadsheet that separates by these begins a cell there. A text that already has
apostrophes before a formula gets one more, so that different texts stay different.
"""

import csv
import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from shared.money import plain
from shared.terms import ClosedDocument, ClosedLine

CSV_COLUMNS = (
    "invoice_number",
    "document_type",
    "billing_company",
    "account_name",
    "invoice_date",
    "due_date",
    "currency",
    "line_no",
    "description",
    "worker_id",
    "week_ending",
    "service_from",
    "service_to",
    "time_type",
    "quantity",
    "unit",
    "unit_price",
    "amount",
    "tax_code",
    "tax_rate",
    "tax_amount",
    "po_number",
    "document_id",
    "pay_line_id",
    "corrects_invoice",
    "corrects_line",
    "project",
    "cost_center",
    "worker_name",
    "requirement_id",
    "requirement_reference",
    "client_contact",
    "client_reference",
    "allowance_amount",
)
# What spreadsheets start a formula with; the wide forms are read as formulas by East Asian
# editions.
_SIGNS = "=+\\-@＝＋－＠"
_FORMULA = re.compile(rf"^(?='*[{_SIGNS}\t\r\n])|(?<=[;\t\r\n])(?=['\"]*[{_SIGNS}])")


class Echo:
    """A file that returns what is written: `csv.writer` yields each record as a string."""

    def write(self, text: str) -> str:
        """Return the text."""
        return text


_WRITER = csv.writer(Echo(), lineterminator="\r\n")


def csv_record(cells: Iterable[str | int]) -> str:
    """Return one record with CRLF; text cells must be safe (`safe_text`) already."""
    record: str = _WRITER.writerow(cells)
    return record


CSV_HEADER = csv_record(CSV_COLUMNS)


def safe_text(text: str) -> str:
    """Return a text that no spreadsheet reads as a formula."""
    return _FORMULA.sub("'", text)


def _money(amount: Decimal) -> str:
    return format(amount, "f")


def csv_row(document: ClosedDocument, line: ClosedLine) -> str:
    """Return one line of a document as a CSV record with CRLF. Credits are negative."""
    requirement = document.names.requirement(line.requirement_id)
    return csv_record(
        (
            safe_text(document.invoice_number),
            document.document_type,
            safe_text(document.billing_company),
            safe_text(document.account_name),
            document.invoice_date.isoformat(),
            document.due_date.isoformat(),
            document.currency,
            line.line_no,
            safe_text(line.description),
            safe_text(line.worker_id),
            line.week_ending.isoformat() if line.week_ending else "",
            line.service_from.isoformat(),
            line.service_to.isoformat(),
            safe_text(line.time_type),
            plain(line.quantity),
            safe_text(line.unit),
            plain(line.unit_price),
            _money(line.amount),
            safe_text(line.tax_code),
            plain(line.tax_rate),
            _money(line.tax_amount),
            safe_text(line.po_number),
            safe_text(line.document_id),
            line.pay_line_id,
            safe_text(line.corrects_invoice),
            "" if line.corrects_line is None else line.corrects_line,
            safe_text(line.project),
            safe_text(line.cost_center),
            safe_text(document.names.workers.get(line.worker_id, "")),
            safe_text(line.requirement_id),
            safe_text(requirement.reference),
            safe_text(requirement.client_contact),
            safe_text(requirement.client_reference),
            _money(line.allowance_amount),
        )
    )


def csv_cell(value: object) -> str | int:
    """A value as text that no spreadsheet reads as a formula; numbers and dates are unchanged."""
    if value is None:
        return ""
    if isinstance(value, int):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    return safe_text(str(value))
