"""Closed documents as files: values in, text or bytes out; no I/O, no clock, no database.

`csv` is for programs (signs as in `terms`, a column sums to the batch), `pdf` is for people (a credit note's signs are turned),
`totals` counts what went into a file so that it can be held against the screen and the event.
"""

from shared.render.csv import CSV_COLUMNS, CSV_HEADER, csv_row, csv_rows
from shared.render.pdf import PRINTABLE_LINES, pdf_document
from shared.render.totals import ControlTotals, CurrencyTotals

__all__ = ["CSV_COLUMNS", "CSV_HEADER", "PRINTABLE_LINES", "ControlTotals", "CurrencyTotals", "csv_row", "csv_rows", "pdf_document"]
