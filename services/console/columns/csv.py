"""Rows as CSV: the fields of the columns, unchanged, and no text that a spreadsheet would run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from services.console.columns import Column
from shared.render.csv import csv_cell, csv_record


def csv_records(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The heads, and a record of each row."""
    yield csv_record(column.field for column in columns)
    for row in rows:
        yield csv_record(csv_cell(row.get(column.field)) for column in columns)
