"""Formats that hold a whole batch in one file: CSV, XLSX, and IIF (one file per currency). Lines stream through; none is kept."""

from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Protocol, TextIO

from services.console.client.books import ReadConnection, Row
from services.console.client.closed import closed_documents, closed_lines
from services.console.client.files.compared import Saved, compare
from services.console.client.files.paths import (
    Progress,
    drafts_beside,
    file_place,
    move_all,
    place_of,
)
from shared.errors import Refused
from shared.render import CSV_HEADER, ControlTotals, csv_row
from shared.render.iif import ENCODING, Accounts, IifRows
from shared.stored import decimal_of
from shared.terms import ClosedDocument, ClosedLine

ANNOUNCED = ("documents", "lines", "net", "tax", "total")


class Sheet(Protocol):
    """What takes a batch piece by piece."""

    def begin(self, document: ClosedDocument) -> None:
        """A document begins."""

    def line(self, document: ClosedDocument, line: ClosedLine) -> None:
        """One of its lines."""

    def end(self, document: ClosedDocument) -> None:
        """It is complete."""


async def pour(
    connection: ReadConnection, batch: Row, sheet: Sheet, progress: Progress | None
) -> ControlTotals:
    """Gives the sheet all documents in the order of their numbers, each with its lines, and counts what it gave."""
    totals = ControlTotals()
    async for documents in closed_documents(connection, batch["batch_id"]):
        waiting = iter(documents)
        current: ClosedDocument | None = None
        async with aclosing(closed_lines(connection, documents)) as lines:
            async for document, line in lines:
                while current is not document:
                    if (current := _next(sheet, totals, current, waiting)) is None:
                        raise AssertionError(
                            f"a line of {document.invoice_number} came after its document"
                        )
                totals.add_line(document.currency, line)
                sheet.line(document, line)
        while (current := _next(sheet, totals, current, waiting)) is not None:
            pass  # ends the last document, and gives those that have no line
        if progress is not None:
            progress(totals.documents, batch["documents"])
    return totals


def _next(
    sheet: Sheet,
    totals: ControlTotals,
    current: ClosedDocument | None,
    waiting: Iterator[ClosedDocument],
) -> ClosedDocument | None:
    """Ends the document at hand and begins the next one; None at the end of the page."""
    if current is not None:
        sheet.end(current)
    following = next(waiting, None)
    if following is not None:
        totals.add_document(following)
        sheet.begin(following)
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
    """All lines of a batch as one CSV file."""
    place = file_place(path, f"{batch['batch_id']}.csv", "CSV")
    with drafts_beside(place) as drafts:
        draft = drafts / place.name
        with draft.open("w", encoding="utf-8", newline="") as file:
            totals = await pour(connection, batch, _Csv(file), progress)
        compare(batch, totals)
        draft.replace(place)
    return Saved(place, 1, totals)


async def save_xlsx(
    connection: ReadConnection, batch: Row, path: Path, progress: Progress | None
) -> Saved:
    """A batch as one workbook, dated with the instant at which the batch closed."""
    from shared.render.xlsx import XlsxBook  # slow to import, and not needed for the other formats

    place = file_place(path, f"{batch['batch_id']}.xlsx", "XLSX")
    announced = {
        each["currency"]: {name: decimal_of(each[name]) for name in ANNOUNCED}
        for each in batch["totals"]
    }
    with drafts_beside(place) as drafts:
        draft = drafts / "book.xlsx"
        book = XlsxBook(draft, batch["generated_at"])
        totals = await pour(connection, batch, book, progress)
        compare(batch, totals)
        book.close(totals.by_currency, announced)
        draft.replace(place)
    return Saved(place, 1, totals)


class _Iif:
    """One file per currency, each opened when its first document comes."""

    def __init__(self, files: ExitStack, folder: Path, batch_id: str, accounts: Accounts) -> None:
        self.files, self.folder, self.batch_id, self.accounts = files, folder, batch_id, accounts
        self.open: dict[str, tuple[TextIO, IifRows]] = {}

    def _of(self, currency: str) -> tuple[TextIO, IifRows]:
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
        file, rows = self._of(document.currency)
        file.writelines(rows.begin(document))

    def line(self, document: ClosedDocument, line: ClosedLine) -> None:
        file, rows = self._of(document.currency)
        file.write(rows.line(document, line))

    def end(self, document: ClosedDocument) -> None:
        file, rows = self._of(document.currency)
        file.writelines(rows.end(document))


async def save_iif(
    connection: ReadConnection,
    batch: Row,
    path: Path,
    progress: Progress | None,
    accounts: Accounts,
) -> Saved:
    """A batch as IIF: one file, or a folder with one file per currency, because an IIF file has no currency."""
    place = place_of(path)
    currencies = sorted(each["currency"] for each in batch["totals"])
    folder = place.is_dir() or not place.suffix
    if not folder and len(currencies) > 1:
        raise Refused(
            "several_currencies",
            f"batch {batch['batch_id']} has documents in {', '.join(currencies)}, and an IIF file holds one currency",
            "name a folder with --out: it gets one file per currency",
        )
    with drafts_beside(place) as drafts:
        with ExitStack() as files:
            sheet = _Iif(files, drafts, batch["batch_id"], accounts)
            totals = await pour(connection, batch, sheet, progress)
        compare(batch, totals)
        names = [sheet.name(currency) for currency in sorted(sheet.open)]
        if folder:
            move_all(drafts, names, place)
        else:
            (drafts / names[0]).replace(place)
    return Saved(place, len(names), totals)
