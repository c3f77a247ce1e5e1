"""What a file drop writes: closed documents as CSV, XLSX, UBL, PDF or IIF, from stored requests.

A file depends on nothing but its requests and the settings: no clock, no random number. The same
documents give the same bytes.
"""

import hashlib
import io
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter

from services.arg_sync.ledgers.documents import ArDocument
from services.arg_sync.ledgers.failures import Failure
from shared.errors import Refused
from shared.render import (
    CSV_HEADER,
    PRINTABLE_LINES,
    ControlTotals,
    EInvoice,
    csv_row,
    iif,
    pdf_document,
    ubl_file,
)
from shared.render.iif_names import ENCODING, Accounts, Classes
from shared.render.layout import Layout, read_layout
from shared.render.layout_csv import LayoutRows
from shared.terms import ClosedDocument, ClosedLine

FileFormat = Literal["csv", "xlsx", "ubl", "pdf", "iif"]
SUFFIXES: Mapping[FileFormat, str] = {
    "csv": ".csv",
    "xlsx": ".xlsx",
    "ubl": ".xml",
    "pdf": ".pdf",
    "iif": ".iif",
}
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
ARCHIVED_ON = (1980, 1, 1, 0, 0, 0)
READABLE = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class DroppedLine:
    """A closed line with the codes that are mapped for it."""

    line: ClosedLine
    account: str
    item: str
    tax: str


@dataclass(frozen=True, slots=True)
class DroppedDocument:
    """A closed document with its lines and mapped codes: the content of a stored request."""

    document: ClosedDocument
    lines: tuple[DroppedLine, ...]
    customer: str
    terms: str

    def codes(self, line: DroppedLine | None = None) -> dict[str, str]:
        """Return the mapped codes of the document, or of one of its lines, by field of a layout."""
        of_document = {"customer": self.customer, "terms": self.terms}
        if line is None:
            return of_document
        of_line = {f"mapped_{name}": getattr(line, name) for name in ("account", "item", "tax")}
        return of_document | of_line


REQUEST = TypeAdapter(DroppedDocument)
_SETTING = {"bad_layout": "layout", "bad_account": "accounts", "bad_class": "class"}
"""The setting that a refusal is about, by its code."""


def dropped(document: ArDocument, customer: str) -> DroppedDocument:
    """Return the content of a request. Raises ValueError if the closed form is missing."""
    closed = document.closed
    if closed is None or any(line.closed is None for line in document.lines):
        raise ValueError(f"{document.number} comes without its closed form")
    lines = tuple(
        DroppedLine(line.closed, line.account, line.item, line.tax)
        for line in document.lines
        if line.closed is not None
    )
    return DroppedDocument(closed, lines, customer, document.terms)


@dataclass(frozen=True)
class Writer:
    """Makes files in one format, as the settings of a connection want them."""

    file_format: FileFormat
    layout: Layout | None
    country: str
    accounts: Accounts
    classes: Classes | None

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> "Writer":
        """Read the settings. Raises ValueError for what cannot be used."""
        wanted = settings.get("format") or "csv"
        file_format = next((each for each in get_args(FileFormat) if each == wanted), None)
        if file_format is None:
            raise ValueError(f"format is {wanted!r}: write {', '.join(get_args(FileFormat))}")
        layout = settings.get("layout") or ""
        if layout.strip() and file_format != "csv":
            raise ValueError(
                f"layout describes a csv, and format is {file_format}: leave one of them out"
            )
        try:
            names = {
                name: list(filter(None, (settings.get(name) or "").split(";")))
                for name in ("accounts", "class_names")
            }
            return cls(
                file_format,
                read_layout(layout.encode(), "layout", delivered=True) if layout.strip() else None,
                settings.get("country") or "",
                Accounts.named(names["accounts"]),
                Classes.named(settings.get("class") or "", names["class_names"]),
            )
        except Refused as refused:
            raise ValueError(
                f"{_SETTING[refused.code]}: {refused.message}; {refused.fix}"
            ) from refused

    @property
    def by_currency(self) -> bool:
        """Whether a file holds documents of one currency only."""
        return self.file_format == "iif" or (self.layout is not None and self.layout.one_currency)

    @property
    def encoding(self) -> str:
        """The encoding of a file of rows."""
        return ENCODING if self.layout is None else self.layout.encoding

    def require_fit(self, each: DroppedDocument) -> None:
        """Refuse a document that the format cannot carry."""
        document, found = each.document, list[str]()
        if self.file_format == "ubl":
            found = EInvoice(document, self.country).problems()
        elif self.file_format == "iif":
            found = iif.problems(document)
        elif self.file_format == "pdf" and document.line_count > PRINTABLE_LINES:
            found = [f"{document.line_count:,} lines; the limit of a PDF is {PRINTABLE_LINES:,}"]
        if not found and (rows := self._rows()) is not None:
            try:
                self._text(rows, [each])
            except Refused as refused:
                found = [f"{refused.message}; {refused.fix}"]
        if found:
            raise Failure("permanent", "not_in_this_format", "; ".join(found))

    def suffix(self, documents: int) -> str:
        """Return how the name of a file with so many documents ends: an archive for one-document
        formats.
        """
        packed = documents > 1 and self.file_format in ("ubl", "pdf")
        return f"{SUFFIXES[self.file_format]}.zip" if packed else SUFFIXES[self.file_format]

    def content(self, documents: Sequence[DroppedDocument]) -> bytes:
        """Return the file of these documents. Raises a failure if it cannot be made."""
        try:
            if (rows := self._rows()) is not None:
                return self._text(rows, documents).encode(self.encoding)
            if self.file_format == "csv":
                lines = (
                    csv_row(one.document, each.line) for one in documents for each in one.lines
                )
                return "".join((CSV_HEADER, *lines)).encode()
            if self.file_format == "xlsx":
                return _xlsx(documents)
            make = self._ubl if self.file_format == "ubl" else _pdf
            if len(documents) == 1:
                return make(documents[0])
            return _archive(documents, SUFFIXES[self.file_format], make)
        except Refused as refused:
            raise Failure("permanent", refused.code, f"{refused.message}; {refused.fix}") from None

    def _rows(self) -> iif.IifRows | LayoutRows | None:
        """Return what makes the rows of a text format that is not our own CSV."""
        if self.file_format == "iif":
            return iif.IifRows(self.accounts, self.classes)
        return None if self.layout is None else LayoutRows(self.layout)

    def _text(self, rows: iif.IifRows | LayoutRows, documents: Sequence[DroppedDocument]) -> str:
        """Return a file of rows. Refused if a row does not fit; the opening lists what they use."""
        body: list[str] = []
        for one in documents:
            if isinstance(rows, LayoutRows):
                body += rows.begin(one.document, one.codes())
                body += (rows.line(one.document, each.line, one.codes(each)) for each in one.lines)
            else:
                body += rows.begin(one.document)
                body += (rows.line(one.document, each.line) for each in one.lines)
            body += rows.end(one.document)
        rows.require_no_problem()
        return "".join([*rows.opening(), *body])

    def _ubl(self, one: DroppedDocument) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "document.xml"
            with ubl_file(path, EInvoice(one.document, self.country)) as write:
                for each in one.lines:
                    write(each.line)
            return path.read_bytes()


def _xlsx(documents: Sequence[DroppedDocument]) -> bytes:
    """Return a workbook, dated with the day of its last document."""
    from shared.render.xlsx import XlsxBook  # slow to import, and not needed for other formats

    day = max(one.document.invoice_date for one in documents)
    totals = ControlTotals()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "book.xlsx"
        book = XlsxBook(path, datetime.combine(day, time(), tzinfo=UTC))
        for one in documents:
            totals.add_document(one.document)
            book.begin(one.document)
            for each in one.lines:
                totals.add_line(one.document.currency, each.line)
                book.line(one.document, each.line)
            book.end(one.document)
        names = ("documents", "lines", "net", "tax", "total")
        announced = {
            currency: {name: getattr(stated, name) for name in names}
            for currency, stated in totals.expected.items()
        }
        book.close(totals.by_currency, announced)
        return path.read_bytes()


def _pdf(one: DroppedDocument) -> bytes:
    return pdf_document(one.document, [each.line for each in one.lines])


def _archive(
    documents: Iterable[DroppedDocument], suffix: str, make: Callable[[DroppedDocument], bytes]
) -> bytes:
    """Return a .zip with a file for each document; the same files give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in documents:
            name = stem_of(one.document.document_type, one.document.invoice_number) + suffix
            member = zipfile.ZipInfo(name, ARCHIVED_ON)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, READABLE
            archive.writestr(member, make(one))
    return packed.getvalue()


def stem_of(*parts: str) -> str:
    """Return parts as the begin of a file name: safe on every system, and no two alike."""
    text = "-".join(parts)
    safe = UNSAFE.sub("-", text).strip(".-")
    plain = safe == text and len(text) <= 120
    return safe if plain else f"{safe[:120]}.{hashlib.sha256(text.encode()).hexdigest()[:8]}"
