"""CSV of closed documents: one record a line, RFC 4180 with CRLF, UTF-8 for whoever encodes it, one string at a time.

Owns the order of the columns, which other people's programs rely on: new ones are added at the end only.
Numbers and dates are written as they are. Text comes from other systems and is opened in spreadsheets, so text that a
spreadsheet would take for a formula gets a leading apostrophe (a worker id "=1+1" is written "'=1+1").
"""

import csv
from collections.abc import Iterable, Iterator
from decimal import Decimal

from shared.money import plain
from shared.render.totals import ControlTotals
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
)
# What spreadsheets start a formula with; the wide forms are read as formulas by East Asian editions.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class _Echo:
    """A file that hands back what is written, so that `csv.writer` gives each record as a string and keeps nothing."""

    def write(self, text: str) -> str:
        return text


_WRITER = csv.writer(_Echo(), lineterminator="\r\n")


def _record(cells: Iterable[str | int]) -> str:
    record: str = _WRITER.writerow(cells)
    return record


CSV_HEADER = _record(CSV_COLUMNS)


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _money(amount: Decimal) -> str:
    return format(amount, "f")


def csv_row(document: ClosedDocument, line: ClosedLine) -> str:
    """One line of a document as one CSV record with its CRLF. Signs as in `terms`: credits are negative."""
    return _record(
        (
            _safe(document.invoice_number),
            document.document_type,
            _safe(document.billing_company),
            _safe(document.account_name),
            document.invoice_date.isoformat(),
            document.due_date.isoformat(),
            document.currency,
            line.line_no,
            _safe(line.description),
            _safe(line.worker_id),
            line.week_ending.isoformat() if line.week_ending else "",
            line.service_from.isoformat(),
            line.service_to.isoformat(),
            _safe(line.time_type),
            plain(line.quantity),
            _safe(line.unit),
            plain(line.unit_price),
            _money(line.amount),
            _safe(line.tax_code),
            plain(line.tax_rate),
            _money(line.tax_amount),
            _safe(line.po_number),
            _safe(line.document_id),
            line.pay_line_id,
            _safe(line.corrects_invoice),
            "" if line.corrects_line is None else line.corrects_line,
            _safe(line.project),
            _safe(line.cost_center),
        )
    )


def csv_rows(
    document: ClosedDocument, lines: Iterable[ClosedLine], totals: ControlTotals | None = None
) -> Iterator[str]:
    """The records of one document, as they are asked for, counted in `totals` as they leave. `CSV_HEADER` is the caller's to write first.

    From an asynchronous source do the same by hand: `totals.add_document`, then `csv_row` and `totals.add_line` for each line.
    """
    if totals is not None:
        totals.add_document(document)
    for line in lines:
        if totals is not None:
            totals.add_line(document.currency, line)
        yield csv_row(document, line)
