"""Column files: which columns a CSV file that we read has, what is in each, and in which form.

A column file is a CSV with the columns `column` (the heading in the file), `value` (one of our
fields, or a text after `=` for a column that we pass over) and `format`, which may be left out:
- of a date: its form, as in %d.%m.%Y (Python's strptime);
- of an amount: `comma` for a decimal comma;
- of status and cancelled: the words that mean accepted or cancelled, as in OK|BOOKED.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from services.arg_sync.ledgers.failures import Failure

HEADINGS = ("column", "value", "format")
COMMA = "comma"
MAX_ROWS = 200_000
ID_LENGTH = 200
AMOUNT = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,4})?")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, our field or a constant, and its form.

    `optional`: a file that we read may lack it.
    """

    heading: str
    value: str
    form: str = ""
    optional: bool = False

    @property
    def constant(self) -> str | None:
        """The text of every row; None for a field."""
        return self.value[1:] if self.value.startswith("=") else None


def read_columns(text: str, fields: Iterable[str], setting: str) -> tuple[Column, ...]:
    """Return the columns of a column file; without one, each field under its own name.

    Raises ValueError with the line that is wrong.
    """
    known = list(fields)
    if not text.strip():
        return tuple(Column(name, name) for name in known)
    try:
        return tuple(_columns(text, known, setting))
    except csv.Error as error:
        raise ValueError(f"{setting} is no CSV: {error}") from error


def _columns(text: str, known: Sequence[str], setting: str) -> list[Column]:
    columns = []
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff"), newline=""))
    if reader.fieldnames is None or not set(HEADINGS[:2]) <= set(reader.fieldnames):
        raise ValueError(f"{setting} needs the columns column and value, and may have format")
    for row in reader:
        column = Column(
            (row["column"] or "").strip(),
            (row["value"] or "").strip(),
            (row.get("format") or "").strip(),
        )
        where = f"{setting}, line {reader.line_num}"
        if not column.heading or not column.value:
            raise ValueError(f"{where}: a column needs a heading and a value")
        if column.constant is None and column.value not in known:
            raise ValueError(f"{where}: {column.value!r} is none of {', '.join(known)}")
        columns.append(column)
    if not columns:
        raise ValueError(f"{setting} has no column")
    return columns


def csv_rows(content: bytes, columns: Iterable[Column], name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a CSV file that we read, by our fields, as text.

    The separator is a comma, a semicolon or a tab, whichever the heading has most of. Raises a
    failure for a file that is no CSV in UTF-8 or lacks a column.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable_file(name, f"it is not UTF-8: {error}") from error
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    read = [each for each in columns if each.constant is None]
    wanted = {each.value: each.heading for each in read}
    needed = {each.heading for each in read if not each.optional}
    try:
        headings = {heading.strip() for heading in reader.fieldnames or () if heading}
        if missing := sorted(needed - headings):
            raise unreadable_file(name, f"it has no column {', '.join(missing)}")
        for count, row in enumerate(reader, 1):
            if count > MAX_ROWS:
                raise unreadable_file(name, f"it has more than {MAX_ROWS:,} rows")
            cells = {(key or "").strip(): value for key, value in row.items()}
            yield {
                "line": reader.line_num,
                **{field: str(cells.get(head) or "").strip() for field, head in wanted.items()},
            }
    except csv.Error as error:
        raise unreadable_file(name, f"line {reader.line_num}: {error}") from error


def unreadable_file(name: str, why: str) -> Failure:
    """Return the failure of a file of the other side that cannot be used."""
    return Failure(
        "permanent",
        "file_unreadable",
        f"{name} cannot be read: {why}; nothing of it was booked; correct or remove the file",
    )


def amount_in(text: str, form: str) -> Decimal:
    """Read an amount in the form of its column. Raises ValueError."""
    plain = text.replace(".", "").replace(",", ".") if COMMA in form else text.replace(",", "")
    plain = plain.replace(" ", "").replace("\u00a0", "")
    if not AMOUNT.fullmatch(plain):
        raise ValueError(f"{text[:40]!r} is no amount")
    return Decimal(plain)


def id_in(text: str, what: str) -> str:
    """Return an id that can be stored and shown. Raises ValueError."""
    if not text or len(text) > ID_LENGTH or not text.isprintable():
        raise ValueError(f"{text[:40]!r} is no {what}")
    return text


def day_in(text: str, form: str) -> date:
    """Read a date in the form of its column. Raises ValueError."""
    try:
        return datetime.strptime(text, form or "%Y-%m-%d").date()
    except re.error as error:
        raise ValueError(f"{form!r} has a part of a date twice") from error


def means(text: str, form: str, default: str) -> bool:
    """Return whether a word is among those of the column's form, whatever its case."""
    return text.casefold() in {each.strip().casefold() for each in (form or default).split("|")}
