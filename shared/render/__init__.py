"""Closed documents as files: values in; text, bytes or a written file out. No clock, no database.

`csv` and `xlsx` are for programs and keep the signs of `terms`, so that a column sums to the batch.
`pdf`, `ubl` (EN 16931) and `pdfa` (both in one) are for people and other systems and turn the signs
of a credit note. `iif` is for QuickBooks Desktop, where a transaction sums to zero. `totals` counts
what a file contains, to compare it with the batch.
"""

from shared.render.csv import CSV_COLUMNS, CSV_HEADER, csv_row
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
    "pdf_document",
    "ubl_file",
]
