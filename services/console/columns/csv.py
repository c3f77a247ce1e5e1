"""Rows as CSV: the fields of the columns, unchanged, and no text that a spreadsheet would run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from services.console.columns import Column
from shared.render.csv import csv_record, safe_text


def csv_records(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The heads, and a record of each row."""
    yield csv_record(column.field for column in columns)
    for row in rows:
        yield csv_record(_cell(row.get(column.field)) for column in columns)


def _cell(value: Any) -> str | int:
    if value is None:
        return ""
    if isinstance(value, int):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date | datetime):
        return value.isoformat()
    return safe_text(str(value))
