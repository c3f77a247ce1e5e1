"""The text of a CSV file without the one column that holds surrogate ids, and without columns that
were added since the recording.
"""

import csv
import io
from decimal import Decimal

SURROGATE_COLUMN = "pay_line_id"
ADDED_COLUMNS = ("allowance_amount",)
"""At the end of the files; a file without discounts and surcharges is compared without them."""


def without_surrogate_ids(text: str) -> str:
    """The text with the column emptied. Nothing else may change: the quoting is checked first."""
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    if _written(rows) != text:
        raise ValueError("the CSV file does not quote its cells as csv.writer does")
    at, kept = rows[0].index(SURROGATE_COLUMN), len(rows[0]) - len(ADDED_COLUMNS)
    if tuple(rows[0][kept:]) != ADDED_COLUMNS:
        raise ValueError("the CSV file does not end with the allowance of each line")
    if any(Decimal(row[kept]) for row in rows[1:]):
        kept = len(rows[0])
    return _written([rows[0][:kept], *([*row[:at], "", *row[at + 1 : kept]] for row in rows[1:])])


def _written(rows: list[list[str]]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return file.getvalue()
