"""Formats that hold a whole batch in one file: CSV, XLSX, IIF, and CSV by a layout.

Lines are streamed; none is kept in memory.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from services.console.files.control_totals import ANNOUNCED, Saved, compare_totals
from services.console.files.paths import (
    UNSAFE,
    Progress,
    absolute_path,
    file_path,
    move_all,
    temporary_folder,
)
from services.console.queries.closed_documents import closed_documents, closed_lines
from services.console.queries.snapshot import ReadConnection, Row
from shared.errors import Refused
from shared.render import CSV_HEADER, ControlTotals, csv_row
from shared.render.iif import IifRows
from shared.render.iif_names import ENCODING, Accounts, Classes
from shared.render.layout import MOST_BYTES, Layout, read_layout
from shared.render.layout_csv import LayoutRows
from shared.stored import decimal_of
from shared.terms import ClosedDocument, ClosedLine


class BatchWriter(Protocol):
    """Writes a batch document by document, line by line."""

    def begin(self, document: ClosedDocument) -> None:
        """Begins a document."""

    def line(self, document: ClosedDocument, line: ClosedLine) -> None:
        """Writes one of its lines."""

    def end(self, document: ClosedDocument) -> None:
        """Ends the document."""


async def write_batch(
    connection: ReadConnection, batch: Row, writer: BatchWriter, progress: Progress | None
) -> ControlTotals:
    """Writes all documents in the order of their numbers, each with its lines; returns their
    totals.
    """
    totals = ControlTotals()
    async for documents in closed_documents(connection, batch):
        waiting = iter(documents)
        current: ClosedDocument | None = None
        async with aclosing(closed_lines(connection, documents)) as lines:
            async for document, line in lines:
                while current is not document:
                    if (current := _next(writer, totals, current, waiting)) is None:
                        raise AssertionError(
                            f"a line of {document.invoice_number} came after its document"
                        )
                totals.add_line(document.currency, line)
                writer.line(document, line)
        while (current := _next(writer, totals, current, waiting)) is not None:
            pass  # ends the last document, and writes those that have no line
        if progress is not None:
            progress(totals.documents, batch["documents"])
    return totals


def _next(
    writer: BatchWriter,
    totals: ControlTotals,
    current: ClosedDocument | None,
    waiting: Iterator[ClosedDocument],
) -> ClosedDocument | None:
    """Ends the current document and begins the next one; None at the end of the page."""
    if current is not None:
        writer.end(current)
    following = next(waiting, None)
    if following is not None:
        totals.add_document(following)
        writer.begin(following)
    return following


class _Csv:
    def __init__(self, file: TextIO) -> None:
        self.file = file
        file.write(CSV_HEADER)

    def begin(self, document: ClosedDocument) -> None: ...

    def line(self, document: ClosedDocument, line: ClosedLine) -> None:
        self.file.write(csv_row(document, line))

    def end(self, document: ClosedDocument) -> None: ...


async def save_csv(
    connection: ReadConnection, batch: Row, path: Path, progress: Progress | None
) -> Saved:
    """Writes all lines of a batch as one CSV file."""
    target = file_path(path, f"{batch['batch_id']}.csv", "CSV")
    with temporary_folder(target) as folder:
        draft = folder / target.name
        with draft.open("w", encoding="utf-8", newline="") as file:
            totals = await write_batch(connection, batch, _Csv(file), progress)
        compare_totals(batch, totals)
        draft.replace(target)
    return Saved(target, 1, totals)


async def save_xlsx(
    connection: ReadConnection, batch: Row, path: Path, progress: Progress | None
) -> Saved:
    """Writes a batch as one workbook, dated with the time at which the batch closed."""
    from shared.render.xlsx import XlsxBook  # slow to import, and not needed for the other formats

    target = file_path(path, f"{batch['batch_id']}.xlsx", "XLSX")
    announced = {
        each["currency"]: {name: decimal_of(each[name]) for name in ANNOUNCED}
        for each in batch["totals"]
    }
    with temporary_folder(target) as folder:
        draft = folder / "book.xlsx"
        book = XlsxBook(draft, batch["generated_at"])
        totals = await write_batch(connection, batch, book, progress)
        compare_totals(batch, totals)
        book.close(totals.by_currency, announced)
        draft.replace(target)
    return Saved(target, 1, totals)


class FileRows(Protocol):
    """The rows of one file, as text: its opening, and what each document and line adds."""

    def opening(self) -> Iterable[str]:
        """The first rows; what they list is known when all documents are written."""

    def begin(self, document: ClosedDocument) -> Iterable[str]:
        """The first rows of a document."""

    def line(self, document: ClosedDocument, line: ClosedLine) -> str:
        """The rows of a line."""

    def end(self, document: ClosedDocument) -> Iterable[str]:
        """The last rows of a document."""

    def require_no_problem(self) -> None:
        """Refuses the file if a row of it does not fit its format."""


@dataclass(frozen=True)
class TextFormat:
    """Files of rows: one in all, or one per currency where a file says none (`by_currency`)."""

    name: str
    suffix: str
    encoding: str
    by_currency: bool
    rows: Callable[[], FileRows]


def iif_format(accounts: Accounts, classes: Classes | None) -> TextFormat:
    """IIF with these names of accounts and classes."""
    return TextFormat("IIF", ".iif", ENCODING, True, lambda: IifRows(accounts, classes))


def layout_format(layout: Layout) -> TextFormat:
    """CSV as a layout says."""
    return TextFormat(
        "CSV", ".csv", layout.encoding, layout.one_currency, lambda: LayoutRows(layout)
    )


def layout_in(file: Path) -> Layout:
    """The layout in a file. Raises `Refused` with all that is wrong with it."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror or error}"
        raise Refused("bad_layout", message, "name another file") from error
    return read_layout(content, file.name)


class _Text:
    """Writes the files of a text format, each begun with its first document.

    Rows go to a draft, and at the end behind the opening: an opening lists what the rows use.
    """

    def __init__(self, files: ExitStack, folder: Path, form: TextFormat) -> None:
        self.files, self.folder, self.form = files, folder, form
        self.drafts: dict[str, tuple[TextIO, FileRows]] = {}

    def _draft(self, document: ClosedDocument) -> tuple[TextIO, FileRows]:
        key = document.currency if self.form.by_currency else ""
        if key not in self.drafts:
            path, encoding = self.folder / f"{key}.rows", self.form.encoding.removesuffix("-sig")
            file = self.files.enter_context(path.open("w", encoding=encoding, newline=""))
            self.drafts[key] = (file, self.form.rows())
        return self.drafts[key]

    def begin(self, document: ClosedDocument) -> None:
        file, rows = self._draft(document)
        file.writelines(rows.begin(document))

    def line(self, document: ClosedDocument, line: ClosedLine) -> None:
        file, rows = self._draft(document)
        file.write(rows.line(document, line))

    def end(self, document: ClosedDocument) -> None:
        file, rows = self._draft(document)
        file.writelines(rows.end(document))

    def complete(self, stem: str) -> list[str]:
        """Writes the files; returns their names, in the order of the currencies."""
        names = []
        for key, (draft, rows) in sorted(self.drafts.items()):
            rows.require_no_problem()
            draft.close()
            names.append("-".join(filter(None, (stem, key))) + self.form.suffix)
            with (self.folder / names[-1]).open("wb") as file, open(draft.name, "rb") as body:
                file.write("".join(rows.opening()).encode(self.form.encoding))
                shutil.copyfileobj(body, file)
        return names


async def save_text(
    connection: ReadConnection, batch: Row, path: Path, progress: Progress | None, form: TextFormat
) -> Saved:
    """Writes a batch in a text format: one file, or a folder with one file per currency."""
    stem = UNSAFE.sub("-", batch.get("invoice_number") or batch["batch_id"])
    target = absolute_path(path)
    into_folder = form.by_currency and (target.is_dir() or not target.suffix)
    if not into_folder:
        target = file_path(path, stem + form.suffix, form.name)
    currencies = sorted(each["currency"] for each in batch["totals"])
    if form.by_currency and not into_folder and len(currencies) > 1:
        raise Refused(
            "several_currencies",
            f"batch {batch['batch_id']} has documents in {', '.join(currencies)}, and this"
            f" {form.name} file holds one currency",
            "name a folder with --out: it gets one file per currency",
        )
    with temporary_folder(target) as folder:
        with ExitStack() as files:
            writer = _Text(files, folder, form)
            totals = await write_batch(connection, batch, writer, progress)
        compare_totals(batch, totals)
        names = writer.complete(stem)
        if into_folder:
            move_all(folder, names, target)
        else:
            (folder / names[0]).replace(target)
    return Saved(target, len(names), totals)
