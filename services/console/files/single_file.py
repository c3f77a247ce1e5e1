"""Formats that hold a whole batch in one file: CSV, XLSX, and IIF (one file per currency).

Lines are streamed; none is kept in memory.
"""

from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Protocol, TextIO

from services.console.files.control_totals import ANNOUNCED, Saved, compare_totals
from services.console.files.paths import (
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
from shared.render.iif import ENCODING, Accounts, IifRows
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
    async for documents in closed_documents(connection, batch["batch_id"]):
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


class _Iif:
    """One file per currency, each opened with its first document."""

    def __init__(self, files: ExitStack, folder: Path, batch_id: str, accounts: Accounts) -> None:
        self.files, self.folder, self.batch_id, self.accounts = files, folder, batch_id, accounts
        self.open: dict[str, tuple[TextIO, IifRows]] = {}

    def _file(self, currency: str) -> tuple[TextIO, IifRows]:
        if currency not in self.open:
            file = self.files.enter_context(
                (self.folder / self.name(currency)).open("w", encoding=ENCODING, newline="")
            )
            self.open[currency] = (file, IifRows(self.accounts))
            file.writelines(self.open[currency][1].opening())
        return self.open[currency]

    def name(self, currency: str) -> str:
        return f"{self.batch_id}-{currency}.iif"

    def begin(self, document: ClosedDocument) -> None:
        file, rows = self._file(document.currency)
        file.writelines(rows.begin(document))

    def line(self, document: ClosedDocument, line: ClosedLine) -> None:
        file, rows = self._file(document.currency)
        file.write(rows.line(document, line))

    def end(self, document: ClosedDocument) -> None:
        file, rows = self._file(document.currency)
        file.writelines(rows.end(document))


async def save_iif(
    connection: ReadConnection,
    batch: Row,
    path: Path,
    progress: Progress | None,
    accounts: Accounts,
) -> Saved:
    """Writes a batch as IIF: one file, or a folder with one file per currency, because an IIF
    file has no currency.
    """
    target = absolute_path(path)
    currencies = sorted(each["currency"] for each in batch["totals"])
    into_folder = target.is_dir() or not target.suffix
    if not into_folder and len(currencies) > 1:
        raise Refused(
            "several_currencies",
            f"batch {batch['batch_id']} has documents in {', '.join(currencies)}, and an IIF file"
            " holds one currency",
            "name a folder with --out: it gets one file per currency",
        )
    with temporary_folder(target) as folder:
        with ExitStack() as files:
            writer = _Iif(files, folder, batch["batch_id"], accounts)
            totals = await write_batch(connection, batch, writer, progress)
        compare_totals(batch, totals)
        names = [writer.name(currency) for currency in sorted(writer.open)]
        if into_folder:
            move_all(folder, names, target)
        else:
            (folder / names[0]).replace(target)
    return Saved(target, len(names), totals)
