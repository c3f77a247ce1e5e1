"""The text of a CSV file without the one column that holds surrogate ids."""

import csv
import io

SURROGATE_COLUMN = "pay_line_id"


def without_surrogate_ids(text: str) -> str:
    """The text with the column emptied. Nothing else may change: the quoting is checked first."""
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    if _written(rows) != text:
        raise ValueError("the CSV file does not quote its cells as csv.writer does")
    at = rows[0].index(SURROGATE_COLUMN)
    return _written([rows[0], *([*row[:at], "", *row[at + 1 :]] for row in rows[1:])])


def _written(rows: list[list[str]]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return file.getvalue()
