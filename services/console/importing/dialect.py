"""How a CSV file is written: its encoding, its separator, and the line that names its columns.

Spreadsheets of other countries separate by semicolons or tabs, write UTF-16, put a line `sep=;`
first, and people change the case of a column's name. What can be read in one way only is read so;
anything else is named, because a person sees the column in the file.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
READABLE = "commas, semicolons or tabs"
START_BYTES = 65_536
"""How much of a file is looked at; a line of column names is shorter."""
FILE_BYTES = 1_000_000_000
"""A larger file is split: what is read is kept in memory, about as large as the file."""
UTF_32_MARKS = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_DECLARED = re.compile(r'"?sep=(.?)"?\r?\n', re.IGNORECASE)
_WORD_SIGNS = re.compile(r"[\W_]+")
_UNDECODED = re.compile("[\udc80-\udcff]")


class UnreadableFile(ValueError):
    """The file cannot be read at all; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one file is written. `names` are the cells of the line that names the columns, which is
    line `header_line`: the second where the first is `sep=`.
    """

    encoding: str
    separator: str
    header_line: int
    names: tuple[str, ...]

    def find(self, column: str) -> list[int]:
        """Where a column is: its exact name, else its name in other letter case."""
        exact = [at for at, name in enumerate(self.names) if name == column]
        folded = column.casefold()
        return exact or [at for at, name in enumerate(self.names) if name.casefold() == folded]

    def missing(self, column: str, columns: Iterable[str]) -> str:
        """What to say of a column that is not found: the name that was probably meant for it."""
        message = f"is missing; the columns are {', '.join(columns)}"
        if any(_UNDECODED.search(name) for name in self.names):
            return f"{message}; the first line is not UTF-8: save the file as CSV UTF-8"
        bare = _WORD_SIGNS.sub("", column).casefold()
        alone = re.compile(rf"(?<!\w){re.escape(column)}(?!\w)", re.IGNORECASE)
        for name in self.names:
            if _WORD_SIGNS.sub("", name).casefold() == bare:
                return f"{message}; {name!r} looks like it: write {column}"
            if alone.search(name):
                return (
                    f"{message}; it is a part of the cell {name!r}, because the file is read as"
                    f" separated by {SEPARATORS[self.separator]}: separate all columns by the same"
                    f" separator ({READABLE}), without quotation marks around the line"
                )
        return message

    def wrong_width(self, row: Sequence[str]) -> str:
        """What to say of a row that has not as many cells as the file has columns."""
        cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
        message = f"has {cells} where the first line names {len(self.names)} columns"
        separator = SEPARATORS[self.separator]
        for other, words in SEPARATORS.items():
            if len(row) == 1 and row[0].count(other) + 1 == len(self.names):
                return f"{message}; the line is separated by {words}, the first line by {separator}"
        comma = ", or with a decimal comma," if self.separator == "," else ""
        return f"{message}; a text with one of the {separator}{comma} belongs in quotation marks"


@contextmanager
def open_csv(path: Path, columns: Iterable[str]) -> Iterator[tuple[Dialect, TextIO]]:
    """The file as text from the line that names the columns on, and how it is written.

    `columns` are those that the file may have: the separator is the one that finds most of them.
    Bytes that are not UTF-8 become lone surrogates. Raises `UnreadableFile`.
    """
    if (size := path.stat().st_size) > FILE_BYTES:
        raise UnreadableFile(f"has {size:,} bytes; the limit is {FILE_BYTES:,}: split it")
    with io.BufferedReader(io.FileIO(path), START_BYTES) as raw:
        dialect = dialect_of(raw.peek(START_BYTES), tuple(columns))
        errors = "surrogateescape" if dialect.encoding == "utf-8-sig" else "strict"
        with io.TextIOWrapper(raw, dialect.encoding, errors, newline="") as stream:
            for _ in range(1, dialect.header_line):
                stream.readline()
            yield dialect, stream


def dialect_of(start: bytes, columns: Sequence[str]) -> Dialect:
    """How a file is written that begins so."""
    encoding = _encoding(start)
    text = start.decode(encoding, "surrogateescape" if encoding == "utf-8-sig" else "ignore")
    declared = _DECLARED.match(text)
    candidates = list(SEPARATORS)
    if declared is not None:
        text, candidates = text[declared.end() :], [declared[1]]
        if declared[1] not in SEPARATORS:
            raise UnreadableFile(
                f"says sep={declared[1]}, which is no separator that can be read: separate the"
                f" columns by {READABLE}"
            )
    line = 1 if declared is None else 2
    found = [Dialect(encoding, each, line, _names(text, each)) for each in candidates]
    return max(found, key=lambda each: sum(bool(each.find(column)) for column in columns))


def _encoding(start: bytes) -> str:
    """The name of the encoding; a file without a mark is UTF-8, unless every second byte is 0."""
    if start.startswith(UTF_32_MARKS):
        raise UnreadableFile("is UTF-32; save the file as CSV UTF-8")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if len(start) > 1 and (start[0] == 0) != (start[1] == 0):
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return "utf-8-sig"


def _names(text: str, separator: str) -> tuple[str, ...]:
    try:
        first = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    except csv.Error:
        return ()
    return tuple(cell.strip() for cell in first)
