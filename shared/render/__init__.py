"""Closed documents as files: values in, text, bytes or a written file out; no clock, no
database.

For programs, signs as in `terms`, so that a column sums to the batch: `csv`, `xlsx`. For people and
for other systems, a credit note's signs turned: `pdf`, `ubl` (EN 16931), `pdfa` (both in one).
`iif` books to QuickBooks Desktop, where a transaction sums to zero. `totals` counts what went into
a file so that it can be held against the screen and the event.
"""

from shared.render.csv import CSV_COLUMNS, CSV_HEADER, csv_row, csv_rows
from shared.render.einvoice import EInvoice
from shared.render.pdf import PRINTABLE_LINES, pdf_document
from shared.render.totals import ControlTotals, CurrencyTotals
from shared.render.ubl import ubl_file

__all__ = [
    "CSV_COLUMNS",
    "CSV_HEADER",
    "PRINTABLE_LINES",
    "ControlTotals",
    "CurrencyTotals",
    "EInvoice",
    "csv_row",
    "csv_rows",
    "pdf_document",
    "ubl_file",
]
