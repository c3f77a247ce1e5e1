"""Formats that are one file a document: UBL, PDF, PDF/A-3.

They go into a folder, into a .zip, or, from a batch of one document, to one file.
"""

import asyncio
import os
import unicodedata
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from services.console.files.control_totals import SHOWN, Saved, compare_totals
from services.console.files.paths import (
    Progress,
    absolute_path,
    archive,
    move_all,
    safe_name,
    temporary_folder,
)
from services.console.queries.closed_documents import (
    closed_documents,
    closed_lines,
    closed_timesheets,
    logo_of,
)
from services.console.queries.snapshot import ReadConnection, Row
from shared.errors import Refused
from shared.render import ControlTotals, EInvoice, pdf_document, ubl_file
from shared.render.pdf import appended, timesheets_pdf, uncommon_words, without_font
from shared.render.printed import TABLE_LINES
from shared.terms import ClosedDocument, ClosedLine, counted

CORES = os.cpu_count() or 1
SHEETS = "-timesheets"
SUFFIXES = {"ubl": ".xml", "pdf": ".pdf", "pdfa": ".pdf"}


async def save_documents(
    connection: ReadConnection,
    batch: Row,
    file_format: str,
    path: Path,
    progress: Progress | None,
    country: str,
    *,
    merged: bool = False,
) -> Saved:
    """Writes one file a document, or joins them (`merged`) for a printer.

    A path with the format's suffix is for a batch of one document, or for joined ones.
    """
    target, suffix = absolute_path(path), SUFFIXES[file_format]
    kind = target.suffix.lower()
    if merged and kind != suffix:
        raise Refused(
            "path_unusable", f"{path.name} is no name of a PDF", "name a file such as all.pdf"
        )
    if kind == suffix and batch["documents"] != 1 and not merged:
        message = f"batch {batch['batch_id']} has {batch['documents']} documents"
        raise Refused(
            "several_documents",
            f"{message} and {path.name} is one file",
            "name a folder or a .zip with --out, or add --merged",
        )
    if file_format != "ubl":
        await _require_fonts(connection, batch)
    totals, names, taken = ControlTotals(), [], set[str]()
    with temporary_folder(target) as folder:
        async with _Rendering() as rendering:
            async for documents in closed_documents(connection, batch):
                for document in documents:
                    name = safe_name(
                        document.invoice_number, str(document.invoice_id), suffix, taken
                    )
                    totals.add_document(document)
                    sheets = await _write(
                        connection, document, file_format, folder / name, totals, country, rendering
                    )
                    names += [name] if sheets is None else [name, sheets.name]
                    if progress is not None:
                        progress(totals.documents, batch["documents"])
        compare_totals(batch, totals)
        if merged:
            from services.console.files.merging import merge_all  # slow to import

            return Saved(target, len(merge_all(folder, names, target)), totals)
        if kind == suffix:
            for name, path in zip(names, (target, _sheets_path(target)), strict=False):
                (folder / name).replace(path)
        elif kind == ".zip":
            archive(folder, names, target)
        else:
            move_all(folder, names, target)
    return Saved(target, 1 if kind == ".zip" else len(names), totals)


def _sheets_path(path: Path) -> Path:
    """The file of a document's timesheets, beside the document."""
    return path.with_name(f"{path.stem}{SHEETS}.pdf")


class _Rendering:
    """Sets documents in threads, as many at once as there are cores, and a long one alone: it needs
    the memory of hundreds.
    """

    def __init__(self) -> None:
        self._running: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> "_Rendering":
        return self

    async def __aexit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            if failed is None:
                await self._until(0)
        finally:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def add(self, work: Callable[[], None], *, alone: bool) -> None:
        """Begin the work of a document when a core is free. Raises what an earlier one raised."""
        await self._until(0 if alone else CORES - 1)
        self._running.append(asyncio.ensure_future(asyncio.to_thread(work)))
        await self._until(0 if alone else CORES)

    async def _until(self, most: int) -> None:
        while len(self._running) > most:
            await self._running.popleft()


async def _require_fonts(connection: ReadConnection, batch: Row) -> None:
    """Refuses a batch, before anything is written, with text that no font has; names each."""
    invoices: dict[str, str] = {}
    async for documents in closed_documents(connection, batch):
        for document in documents:
            async with aclosing(closed_lines(connection, [document])) as lines:
                listed = [line async for _, line in lines]
            sheets = await closed_timesheets(connection, document)
            for word in await asyncio.to_thread(uncommon_words, document, listed, sheets):
                invoices.setdefault(word, document.invoice_number)
    missing = await asyncio.to_thread(without_font, invoices)
    found = [
        f"{number}: {' and '.join(map(_named, sorted(missing & set(word))))} in {word!r}"
        for word, number in invoices.items()
        if missing & set(word)
    ]
    if found:
        rest = [f"and {counted(len(found) - SHOWN, 'more word')}"] if len(found) > SHOWN else []
        raise Refused(
            "no_font",
            f"no font has these characters: {'; '.join([*found[:SHOWN], *rest])}",
            "use --format csv, xlsx or ubl for this batch; for later ones correct the text where it"
            " comes from",
            problems=found[:SHOWN],
        )


def _named(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'without a name')}"


async def _write(
    connection: ReadConnection,
    document: ClosedDocument,
    file_format: str,
    draft: Path,
    totals: ControlTotals,
    country: str,
    rendering: "_Rendering",
) -> Path | None:
    """Writes one document, and its timesheets if they have a file of their own: its path.

    UBL is streamed; the typesetter of a PDF needs all lines of the document at once.
    """
    listed: list[ClosedLine] = []
    async with aclosing(closed_lines(connection, [document])) as lines:
        if file_format == "ubl":
            with ubl_file(draft, EInvoice(document, country)) as write:
                async for _, line in lines:
                    totals.add_line(document.currency, line)
                    write(line)
            return None
        async for _, line in lines:
            totals.add_line(document.currency, line)
            listed.append(line)

    sheets = await closed_timesheets(connection, document)
    logo = await logo_of(connection, document.seller.logo)
    sheets_file = _sheets_path(draft) if sheets and not appended(document, sheets) else None

    def render() -> None:
        last_pages = sheets if sheets_file is None else ()
        if file_format == "pdf":
            draft.write_bytes(pdf_document(document, listed, logo=logo, timesheets=last_pages))
        else:
            from shared.render.pdfa import pdfa_document  # slow to import; others need it not

            invoice = EInvoice(document, country)
            draft.write_bytes(pdfa_document(invoice, listed, logo=logo, timesheets=last_pages))
        if sheets_file is not None:
            sheets_file.write_bytes(timesheets_pdf(document, sheets, logo))

    await rendering.add(render, alone=len(listed) > TABLE_LINES)
    return sheets_file
