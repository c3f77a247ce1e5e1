"""Reads one CSV file: its columns by name, its rows with their line numbers, and everything that
is wrong in it.

A file is read as a stream; a wrong row is reported and left out, so that one run names all that
must be fixed.
"""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.console.importing.cells import MAY_HAVE_THOUSANDS, Read, check_thousands, formula
from services.console.importing.dialect import Dialect, UnreadableFile, open_csv

SHOWN_PROBLEMS = 50
CELL_LENGTH = 1_000_000
csv.field_size_limit(CELL_LENGTH)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where."""

    file: str
    line: int
    column: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" + (f", {self.column}" if self.column else "")
        return f"{where}: {self.message}"


@dataclass(slots=True)
class Problems:
    """All that is wrong in a folder: the first problems are kept to be shown, the others are
    counted.

    `broken` has, by file, the ids of rows that cannot be read, so that a reference to one is not
    reported as wrong.
    """

    count: int = 0
    shown: list[Problem] = field(default_factory=list)
    broken: dict[str, set[str]] = field(default_factory=dict)

    def add(self, file: str, line: int, column: str, message: str) -> None:
        """Adds a problem."""
        self.count += 1
        if len(self.shown) < SHOWN_PROBLEMS:
            self.shown.append(Problem(file, line, column, message))


def rows_of(
    path: Path,
    columns: Mapping[str, Read],
    problems: Problems,
    key: str,
    optional: Collection[str] = (),
) -> Iterator[tuple[int, Sequence[Any]]]:
    """Line number and values, in the order of `columns`, of every row that can be read; the
    others are problems.

    `key` is the column of the id, by which a row that cannot be read is remembered. Columns are
    found by the names in the first line, in any order; other columns, and rows of empty cells, are
    ignored. An `optional` column that is missing is read as empty cells.
    """
    line = 1
    try:
        with open_csv(path, columns) as (dialect, stream):
            # strict: else a quotation mark that is not closed takes the rest of a file into a cell.
            reader = csv.reader(stream, strict=True, delimiter=dialect.separator)
            next(reader, None)
            line = dialect.header_line
            layout = _layout_of(path.name, dialect, columns, key, optional, problems)
            if layout is None:
                return
            while True:
                line = reader.line_num + dialect.header_line
                row = next(reader, None)
                if row is None:
                    return
                if not any(map(str.strip, row)):
                    continue
                values = _values(path.name, line, row, layout, problems)
                if values is not None:
                    yield line, values
                elif len(row) > layout.key:
                    problems.broken.setdefault(path.name, set()).add(row[layout.key].strip())
    except UnreadableFile as error:
        problems.add(path.name, 1, "", str(error))
    except UnicodeDecodeError:
        message = "is no UTF-16 from here on; save the file as CSV UTF-8"
        problems.add(path.name, line, "", message)
    except csv.Error as error:
        problems.add(
            path.name,
            line,
            "",
            f"is no CSV from here on ({error}); look for a quotation mark that is not closed",
        )


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the file; `at` is None if it is missing and may be."""

    column: str
    at: int | None
    read: Read


@dataclass(frozen=True, slots=True)
class _Layout:
    dialect: Dialect
    key: int
    wanted: tuple[_Column, ...]


def _layout_of(
    file: str,
    dialect: Dialect,
    columns: Mapping[str, Read],
    key: str,
    optional: Collection[str],
    problems: Problems,
) -> _Layout | None:
    line = dialect.header_line
    if not any(dialect.names):
        problems.add(
            file, line, "", f"is empty; the first line should name the columns {', '.join(columns)}"
        )
        return None
    found = {column: dialect.find(column) for column in columns}
    for column, places in found.items():
        if not places and column not in optional:
            needed = [each for each in columns if each not in optional]
            problems.add(file, line, column, dialect.missing(column, needed))
        elif len(places) > 1:
            names = " and ".join(dict.fromkeys(dialect.names[at] for at in places))
            other_case = f": {names} differ in letter case only" if " and " in names else ""
            problems.add(file, line, column, f"is named twice{other_case}")
    if any(len(found[column]) > 1 or not (found[column] or column in optional) for column in found):
        return None
    wanted = tuple(
        _Column(column, next(iter(found[column]), None), read) for column, read in columns.items()
    )
    return _Layout(dialect, found[key][0], wanted)


def _values(
    file: str, line: int, row: Sequence[str], layout: _Layout, problems: Problems
) -> list[Any] | None:
    if len(row) != len(layout.dialect.names):
        problems.add(file, line, "", layout.dialect.wrong_width(row))
        return None
    values: list[Any] = []
    good = True
    for place in layout.wanted:
        cell = "" if place.at is None else row[place.at]
        try:
            if not cell.isascii():
                _check_encoding(cell)
            cell = cell.strip()
            if cell.startswith('="'):
                raise formula(cell)
            if place.read in MAY_HAVE_THOUSANDS and layout.dialect.separator != ",":
                check_thousands(cell)
            values.append(place.read(cell))
        except ValueError as error:
            problems.add(file, line, place.column, str(error))
            good = False
    return values if good else None


def _check_encoding(cell: str) -> None:
    try:
        cell.encode()
    except UnicodeEncodeError:
        shown = cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        raise ValueError(f"{shown!r} is not UTF-8; save the file as CSV UTF-8") from None
