"""What a file drop writes: closed documents as CSV, XLSX, UBL, PDF or IIF, from stored requests.

A file depends on nothing but its requests and the settings: no clock, no random number. The same
documents give the same bytes.
"""

import csv
import hashlib
import io
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter

from services.arg_sync.ledgers.column_files import Column, cell_of, read_columns
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
from shared.render.csv import safe_text
from shared.render.iif_names import ENCODING, Accounts
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


REQUEST = TypeAdapter(DroppedDocument)
CODES = ("account", "item", "tax")
MAPPED_FIELDS = tuple(f"mapped_{name}" for name in CODES)
OF_BOTH = ("invoice_id", "service_from", "service_to", "po_number")
"""Fields of a line and of a document: in a row for a line, those of the line."""
LINE_FIELDS = (*(each.name for each in fields(ClosedLine)), *MAPPED_FIELDS)
PARTY_FIELDS = tuple(
    f"{role}_{name}" for role in ("seller", "buyer") for name in ("name", "address", "tax_id")
)
DOCUMENT_FIELDS = tuple(
    each.name
    for each in fields(ClosedDocument)
    if each.name not in ("seller", "buyer", "tax_totals", "names", "allowances")
)
FIELDS = tuple(dict.fromkeys((*DOCUMENT_FIELDS, *PARTY_FIELDS, "customer", "terms", *LINE_FIELDS)))
"""What a column file may name."""


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
    columns: tuple[Column, ...] | None
    separator: str
    country: str
    accounts: Accounts

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> "Writer":
        """Read the settings. Raises ValueError for what cannot be used."""
        wanted = settings.get("format") or "csv"
        file_format = next((each for each in get_args(FileFormat) if each == wanted), None)
        if file_format is None:
            raise ValueError(f"format is {wanted!r}: write {', '.join(get_args(FileFormat))}")
        separator = {"tab": "\t"}.get(text := settings.get("separator") or ",", text)
        if len(separator) != 1:
            raise ValueError("separator must be one character, or tab")
        columns = settings.get("columns") or ""
        if columns.strip() and file_format != "csv":
            raise ValueError(
                f"columns describe a csv, and format is {file_format}: leave one of them out"
            )
        if separator != "," and not columns.strip():
            raise ValueError(
                f"separator is {text!r}, and only a file by columns has one:"
                " name a column file in `columns`, or leave separator out"
            )
        try:
            accounts = Accounts.named(filter(None, (settings.get("accounts") or "").split(";")))
        except Refused as refused:
            raise ValueError(f"accounts: {refused.message}; {refused.fix}") from refused
        return cls(
            file_format,
            read_columns(columns, FIELDS, "columns") if columns.strip() else None,
            separator,
            settings.get("country") or "",
            accounts,
        )

    def require_fit(self, each: DroppedDocument) -> None:
        """Refuse a document that the format cannot carry."""
        document, found = each.document, list[str]()
        if self.file_format == "ubl":
            found = EInvoice(document, self.country).problems()
        elif self.file_format == "iif":
            found = iif.problems(document)
        elif self.file_format == "pdf" and document.line_count > PRINTABLE_LINES:
            found = [f"{document.line_count:,} lines; the limit of a PDF is {PRINTABLE_LINES:,}"]
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
            if self.file_format == "csv":
                return self._csv(documents)
            if self.file_format == "iif":
                return self._iif(documents)
            if self.file_format == "xlsx":
                return _xlsx(documents)
            make = self._ubl if self.file_format == "ubl" else _pdf
            if len(documents) == 1:
                return make(documents[0])
            return _archive(documents, SUFFIXES[self.file_format], make)
        except Refused as refused:
            raise Failure("permanent", refused.code, f"{refused.message}; {refused.fix}") from None

    def _csv(self, documents: Sequence[DroppedDocument]) -> bytes:
        if self.columns is None:
            lines = (csv_row(one.document, each.line) for one in documents for each in one.lines)
            return "".join((CSV_HEADER, *lines)).encode()
        text = io.StringIO(newline="")
        rows = csv.writer(text, delimiter=self.separator, lineterminator="\r\n")
        rows.writerow(each.heading for each in self.columns)
        by_line = any(
            each.value in LINE_FIELDS and each.value not in OF_BOTH for each in self.columns
        )
        for one in documents:
            for line in one.lines if by_line else (None,):
                values = _values(one, line)
                rows.writerow(
                    cell_of(each, values.get(each.value), safe_text) for each in self.columns
                )
        return text.getvalue().encode()

    def _iif(self, documents: Sequence[DroppedDocument]) -> bytes:
        rows = iif.IifRows(self.accounts)
        text = [*rows.opening()]
        for one in documents:
            text += rows.begin(one.document)
            text += [rows.line(one.document, each.line) for each in one.lines]
            text += rows.end(one.document)
        return "".join(text).encode(ENCODING)

    def _ubl(self, one: DroppedDocument) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "document.xml"
            with ubl_file(path, EInvoice(one.document, self.country)) as write:
                for each in one.lines:
                    write(each.line)
            return path.read_bytes()


def _values(one: DroppedDocument, line: DroppedLine | None) -> dict[str, Any]:
    """Return the values of a row by field; without a line those of the document."""
    document = one.document
    values: dict[str, Any] = {name: getattr(document, name) for name in DOCUMENT_FIELDS}
    for role, party in (("seller", document.seller), ("buyer", document.buyer)):
        values |= {f"{role}_{name}": getattr(party, name) for name in ("name", "address", "tax_id")}
    values |= {
        "corrects": "; ".join(each.number for each in document.corrects),
        "customer": one.customer,
        "terms": one.terms,
    }
    if line is not None:
        values |= {each.name: getattr(line.line, each.name) for each in fields(ClosedLine)}
        values |= {f"mapped_{name}": getattr(line, name) for name in CODES}
    return values


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
