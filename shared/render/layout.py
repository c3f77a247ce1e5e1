"""Layouts: a small TOML file that says how a CSV file of closed documents looks.

It has settings, and for each column of the file a `[[column]]` with a heading and a field (see
`layout_fields`) or a fixed text. A wrong layout is refused with all its problems, each with its
line, its column and what is allowed.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from shared.errors import Refused
from shared.render.csv import safe_text
from shared.render.layout_fields import FIELDS, Field, FieldKind, RowKind
from shared.terms import counted, listed, similar_names

Signs = Literal["signed", "document", "row"]
"""signed: what lowers the debt is negative. document: all signs of a credit note are turned. row:
the signs of a row that lowers the debt are turned, and `row_type` tells it.
"""
Encoding = Literal["utf-8", "utf-8-sig", "cp1252"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
SEPARATORS = {",": ",", ";": ";", "|": "|", "^": "^", "~": "~", "tab": "\t"}
LINE_ENDS = {"crlf": "\r\n", "lf": "\n"}
ISO_DATES = "%Y-%m-%d"
OF_ONE_TAX = ("tax_code", "tax_rate")
"""Fields that have no sum: a row of a document names the part."""
MOST_BYTES = 200_000
MOST_COLUMNS = 500
MOST_PARTS = 20
MOST_PROBLEMS = 20
MOST_LENGTH = 100_000
SHOWN = 60
"""How much of a value a message has."""
MAPPED: tuple[FieldKind, ...] = ("key", "text", "word")
"""The kinds of field whose values a column may replace by other words."""
_DATE_PART = re.compile("%(.?)")
DATE_PARTS = ("d", "m", "Y", "y", "j")
_BLOCK = re.compile(r"\s*\[\[\s*column\s*\]\]")
_KEY = re.compile(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*=""")


@dataclass(frozen=True, slots=True)
class LayoutColumn:
    """A column: its heading, and a field or a fixed text.

    `values` replaces each value by another word; `otherwise` stands for those it does not name, or
    for all without it. A value that neither names is refused. A text of more than `cut` characters
    is cut, one of more than `most` refused. `part`: of which tax of a document. `dates`: another
    form than the layout's.
    """

    heading: str
    field: str = ""
    text: str = ""
    values: Mapping[str, str] | None = None
    otherwise: str | None = None
    cut: int | None = None
    most: int | None = None
    part: int | None = None
    dates: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file looks. `separator` and `line_end` are the characters themselves."""

    columns: tuple[LayoutColumn, ...]
    rows: RowKind = "line"
    signs: Signs = "signed"
    separator: str = ","
    decimal: str = "."
    dates: str = ISO_DATES
    encoding: Encoding = "utf-8"
    line_end: str = "\r\n"
    header: bool = True

    @property
    def parts(self) -> int:
        """How many taxes of a document have columns; 0: none, or all of them in sums."""
        return max((each.part or 0 for each in self.columns), default=0)

    @property
    def one_currency(self) -> bool:
        """Whether a file can hold one currency only, because no column says which it is."""
        return not any(each.field == "currency" for each in self.columns)


def read_layout(content: bytes, name: str, *, delivered: bool = False) -> Layout:
    """Return the layout in a TOML file.

    `delivered`: it may name what a ledger connection maps. Refused (`bad_layout`) with every
    problem; `name` is that of the file.
    """
    try:
        if len(content) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        text = content.decode("utf-8-sig")
        stored = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of tomllib and of the decoder
        raise Refused(
            "bad_layout",
            f"{name} is no TOML file in UTF-8: {error}",
            "see the example in docs/formats.md",
        ) from error
    return _Reader(name, _Places(text), delivered).layout(stored)


class _Places:
    """The lines of a file on which its columns and keys stand: TOML itself tells only values."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[int, str], int] = {}
        self._columns = 0
        for number, line in enumerate(text.split("\n"), 1):
            if _BLOCK.match(line):
                self._columns += 1
                self._lines[self._columns, ""] = number
            elif found := _KEY.match(line):
                self._lines.setdefault((self._columns, found[1]), number)

    def line(self, column: int, key: str, columns: int) -> int | None:
        """Return the line of a key of a column (0: a setting), else that of the column.

        None where the columns are not written as `[[column]]`.
        """
        if self._columns != columns:
            return None
        return self._lines.get((column, key)) or self._lines.get((column, ""))


class _Reader:
    """Reads one file and collects what is wrong with it."""

    def __init__(self, name: str, places: _Places, delivered: bool) -> None:
        self.name, self.places, self.delivered = name, places, delivered
        self.problems: list[str] = []
        self.columns = 0
        self.rows: RowKind = "line"
        self.encoding: Encoding = "utf-8"

    def layout(self, stored: Mapping[str, Any]) -> Layout:
        columns = stored.get("column", [])
        if not isinstance(columns, list) or not all(isinstance(each, dict) for each in columns):
            columns = []
        self.columns = len(columns)
        settings = self._settings({key: stored[key] for key in stored if key != "column"})
        if not columns:
            self._wrong(0, "column", "it has no column: write a [[column]] for each")
        if len(columns) > MOST_COLUMNS:
            self._wrong(0, "column", f"it has more than {MOST_COLUMNS} columns")
        read = tuple(self._column(at, each) for at, each in enumerate(columns[:MOST_COLUMNS], 1))
        if self.problems:
            more = len(self.problems) - MOST_PROBLEMS
            rest = [f"and {counted(more, 'more problem')}"] if more > 0 else []
            raise Refused(
                "bad_layout",
                f"{self.name}: {'; '.join([*self.problems[:MOST_PROBLEMS], *rest])}",
                "correct the file; `backoffice layouts fields` lists what a column may hold",
                problems=self.problems[:MOST_PROBLEMS],
            )
        return replace(settings, columns=read)

    def _wrong(self, column: int, key: str, what: str, heading: str = "") -> None:
        line = self.places.line(column, key, self.columns)
        where = [f"line {line}"] if line else []
        if column:
            shown = heading[:SHOWN] if heading.isprintable() else ""
            where.append(f"column {column}" + (f" ({shown})" if shown else ""))
        self.problems.append(f"{', '.join(where)}: {what}" if where else what)

    def _settings(self, given: Mapping[str, Any]) -> Layout:
        self.rows = self._choice(given, "rows", get_args(RowKind))
        self.encoding = self._choice(given, "encoding", ENCODINGS)
        decimal = self._choice(given, "decimal", (".", ","))
        separator = SEPARATORS[self._choice(given, "separator", tuple(SEPARATORS))]
        if separator == decimal:
            self._wrong(
                0,
                "decimal",
                f"separator and decimal are both {decimal!r}: write another separator,"
                ' as in separator = ";"',
            )
        dates = given.get("dates", ISO_DATES)
        self._check_dates(0, dates, "")
        header = given.get("header", True)
        if not isinstance(header, bool):
            self._wrong(0, "header", f"header is {_shown(header)}: write true or false")
        for key in given:
            if key not in _SETTINGS:
                self._wrong(0, key, _unknown("setting", key, _SETTINGS))
        return Layout(
            columns=(),
            rows=self.rows,
            signs=self._choice(given, "signs", get_args(Signs)),
            separator=separator,
            decimal=decimal,
            dates=dates,
            encoding=self.encoding,
            line_end=LINE_ENDS[self._choice(given, "line_end", tuple(LINE_ENDS))],
            header=header,
        )

    def _choice(self, given: Mapping[str, Any], key: str, allowed: tuple[Any, ...]) -> Any:
        """Return a setting; the first of those that are allowed if it is missing or wrong."""
        if (value := given.get(key, allowed[0])) in allowed:
            return value
        words = listed([f'"{each}"' for each in allowed])
        self._wrong(0, key, f"{key} is {_shown(value)}: write one of {words}")
        return allowed[0]

    def _check_dates(self, column: int, form: Any, heading: str) -> None:
        parts = _DATE_PART.findall(form) if isinstance(form, str) else []
        if not parts or any(part not in DATE_PARTS for part in parts) or not self._carried(form):
            allowed = ", ".join(f"%{part}" for part in DATE_PARTS)
            what = f'dates is {_shown(form)}: write a form of {allowed}, as in "%d/%m/%Y"'
            self._wrong(column, "dates", what, heading)

    def _carried(self, text: str) -> bool:
        """Whether a text of the layout is written as it is, and no spreadsheet takes it for a
        formula.
        """
        if safe_text(text) != text or not text.isprintable():
            return False
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def _column(self, at: int, given: Mapping[str, Any]) -> LayoutColumn:
        found: dict[str, Any] = {}
        heading = str(given.get("heading", given.get("field", "")))

        def wrong(key: str, what: str) -> None:
            self._wrong(at, key, what, heading)

        for key, value in given.items():
            if key not in _COLUMN_KEYS:
                wrong(key, _unknown("key", key, _COLUMN_KEYS))
            elif (what := _COLUMN_KEYS[key](value)) is not None:
                wrong(key, f"{key} is {_shown(value)}: write {what}")
            else:
                found[key] = value
        texts = [heading, *(found.get(each, "") for each in ("text", "otherwise"))]
        for text in (*texts, *(found.get("values") or {}).values()):
            if not self._carried(text):
                wrong(
                    "heading" if text == heading else "text",
                    f"{_shown(text)} is no text that {self.encoding} can carry and a spreadsheet"
                    " does not read as a formula: write another",
                )
        if ("field" in given) == ("text" in given):
            wrong("heading", "it needs a field or a text, and not both")
        elif "text" in given:
            for key in sorted(found.keys() & _OF_FIELDS):
                wrong(key, f"{key} is for a field, and this column has a text: leave one out")
        elif "field" in found:
            for key, what in self._misused(found):
                wrong(key, what)
            if "dates" in found:
                self._check_dates(at, found["dates"], heading)
        return LayoutColumn(**found | {"heading": heading})

    def _misused(self, found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield what a column does that its field does not allow: the key, and why."""
        name = found["field"]
        known = {each: one for each, one in FIELDS.items() if self.delivered or not one.delivered}
        if (field := known.get(name)) is None:
            if name in FIELDS:
                yield "field", f"{name} is known in the files of a file drop only: name another"
            else:
                yield "field", _unknown("field", name, known)
            return
        if self.rows not in field.rows:
            yield "field", f'{name} is a field of a line: write rows = "line", or leave it out'
        if field.of_tax is None and "part" in found:
            of_tax = ", ".join(each for each, one in FIELDS.items() if one.of_tax)
            yield "part", f"{name} has no parts: only {of_tax} have"
        elif "part" in found and self.rows != "document":
            yield "part", f"a row of {self.rows} has one tax: leave part out"
        elif self.rows == "document" and name in OF_ONE_TAX and "part" not in found:
            yield "field", f"a document may have several: add part = 1, part = 2 ... to {name}"
        yield from _unfit(name, field, found)


def _unfit(name: str, field: Field, found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield which forms of a column do not fit the kind of its field."""
    if "dates" in found and field.kind != "date":
        yield "dates", f"{name} is no date: leave dates out"
    for key in ("values", "otherwise"):
        if key in found and field.kind not in MAPPED:
            yield key, f"{name} is a {field.kind}: only texts have {key}"
    if "cut" in found and field.kind != "text":
        yield "cut", f"{name} must not be cut: write most, which refuses a longer one"
    values = found.get("values")
    if field.words and values is not None:
        for each in sorted(values.keys() - set(field.words)):
            yield "values", f"{name} is never {_shown(each)}: it is {' or '.join(field.words)}"
        if "otherwise" not in found and (missing := set(field.words) - values.keys()):
            yield "values", f"values has no word for {' and '.join(sorted(missing))}"


def _shown(value: Any) -> str:
    """Return a value of the file for a message, not longer than a line."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "a text in quotes"


def _number(least: int, most: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        fits = type(value) is int and least <= value <= most
        return None if fits else f"a whole number from {least} to {most:,}"

    return check


def _words(value: Any) -> str | None:
    fits = (
        isinstance(value, dict) and value and all(isinstance(each, str) for each in value.values())
    )
    return None if fits else 'words for words, as in {invoice = "SI", credit-note = "SC"}'


_SETTINGS = ("rows", "signs", "separator", "decimal", "dates", "encoding", "line_end", "header")
_COLUMN_KEYS: Mapping[str, Callable[[Any], str | None]] = {
    "heading": _text,
    "field": _text,
    "text": _text,
    "values": _words,
    "otherwise": _text,
    "cut": _number(1, MOST_LENGTH),
    "most": _number(1, MOST_LENGTH),
    "part": _number(1, MOST_PARTS),
    "dates": _text,
}
"""The keys of a column, each with what must be written where a value is none that it takes."""
_OF_FIELDS = _COLUMN_KEYS.keys() - {"heading", "text"}


def _unknown(what: str, name: str, known: Any) -> str:
    if similar := similar_names(name[:SHOWN], known):
        return f"{_shown(name)} is no {what}: did you mean {' or '.join(similar)}?"
    return f"{_shown(name)} is no {what}: write one of {', '.join(known)}"
