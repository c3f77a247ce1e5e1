"""The files of a batch: CSV for programs, PDF for people. A file is complete or not there.

Written beside its place and moved there only when its control totals equal the heads of the documents and the totals that the batch
announced. Two sums that were made apart agree, or the file is not to be used.
"""

import asyncio
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.client.books import Row
from services.console.client.closed import closed_documents, closed_lines
from services.console.client.figures import decimal_of
from shared.errors import Refused
from shared.render import CSV_HEADER, ControlTotals, csv_row, pdf_document
from shared.terms import ClosedDocument, ClosedLine

ROWS_AT_ONCE = 2_000
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Saved:
    """What was written: the place, the number of files, and what they add up to."""

    path: Path
    files: int
    totals: ControlTotals


async def save_csv(connection: AsyncConnection, batch: Row, path: Path, progress: Progress | None = None) -> Saved:
    """All lines of a batch as one CSV file. Raises `Refused` if the totals disagree; then there is no file."""
    totals = ControlTotals()
    place = _place(path)
    if place.is_dir():
        raise Refused("path_unusable", f"{path} is a folder; the CSV is one file", f"say --out {path / batch['batch_id']}.csv")
    draft = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(CSV_HEADER)
            rows: list[str] = []
            async for documents in closed_documents(connection, batch["batch_id"]):
                for document in documents:
                    totals.add_document(document)
                async for document, line in closed_lines(connection, documents):
                    totals.add_line(document.currency, line)
                    rows.append(csv_row(document, line))
                    if len(rows) >= ROWS_AT_ONCE:
                        file.write("".join(rows))
                        rows.clear()
                if progress is not None:
                    progress(totals.documents, batch["documents"])
            file.write("".join(rows))
        _compare(batch, totals)
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
    return Saved(place, 1, totals)


async def save_pdf(connection: AsyncConnection, batch: Row, path: Path, progress: Progress | None = None) -> Saved:
    """One PDF a document: into a folder, into a .zip, or (a batch of one document) as a .pdf."""
    place = _place(path)
    kind = place.suffix.lower()
    if kind == ".pdf" and batch["documents"] != 1:
        raise Refused("several_documents", f"batch {batch['batch_id']} has {batch['documents']} documents and {path.name} is one file",
                      "name a folder or a .zip with --out")  # fmt: skip
    drafts = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    try:
        totals, names = await _draw(connection, batch, drafts, progress)
        _compare(batch, totals)
        if kind == ".pdf":
            (drafts / names[0]).replace(place)
        elif kind == ".zip":
            _zip(drafts, names, place)
        else:
            place.mkdir(exist_ok=True)
            for name in names:
                (drafts / name).replace(place / name)
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
    return Saved(place, 1 if kind in (".pdf", ".zip") else len(names), totals)


async def _draw(connection: AsyncConnection, batch: Row, folder: Path, progress: Progress | None) -> tuple[ControlTotals, list[str]]:
    """Each document as a file of the folder; one document's lines in memory at a time."""
    totals = ControlTotals()
    names: list[str] = []
    async for documents in closed_documents(connection, batch["batch_id"]):
        for document in documents:
            totals.add_document(document)
            lines: list[ClosedLine] = []
            async for _, line in closed_lines(connection, [document]):
                totals.add_line(document.currency, line)
                lines.append(line)
            name = _file_name(document, names)
            (folder / name).write_bytes(await asyncio.to_thread(pdf_document, document, lines))
            names.append(name)
            if progress is not None:
                progress(len(names), batch["documents"])
    return totals, names


def _file_name(document: ClosedDocument, taken: list[str]) -> str:
    """The number as a file name: a series such as 2026/ must not make folders."""
    name = UNSAFE.sub("-", document.invoice_number).strip(".-") or str(document.invoice_id)
    return f"{name}.pdf" if f"{name}.pdf" not in taken else f"{name}.{document.invoice_id}.pdf"


def _zip(folder: Path, names: list[str], place: Path) -> None:
    draft = folder / "all.part"
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(folder / name, name)
    draft.replace(place)


def _place(path: Path) -> Path:
    """The place as an absolute path whose folder is there."""
    place = path.expanduser().absolute()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused("path_unusable", f"{place.parent} cannot be made: {error.strerror or error}", "name another place with --out") from error
    return place


def _compare(batch: Row, totals: ControlTotals) -> None:
    """The file against the heads of its documents, and against what the batch announced on screen and topic."""
    wrong = [*totals.mismatches(), *_against_batch(batch["totals"], totals)]
    if wrong:
        raise Refused("control_totals_differ", "; ".join(wrong), "run `backoffice verify`; no file was kept", mismatches=wrong)


def _against_batch(announced: list[dict[str, Any]], totals: ControlTotals) -> list[str]:
    wrong: list[str] = []
    by_currency = {each["currency"]: each for each in announced}
    for currency in sorted(by_currency.keys() | totals.by_currency.keys()):
        counted, said = totals.by_currency.get(currency), by_currency.get(currency)
        if counted is None or said is None:
            wrong.append(f"{currency}: the {'batch' if counted is None else 'file'} has documents, the {'file' if counted is None else 'batch'} has none")
            continue
        for name in ("documents", "lines", "net", "tax", "total"):
            written, promised = decimal_of(getattr(counted, name)), decimal_of(said[name])
            if written != promised:
                wrong.append(f"{currency}: the file has {name} {written}, the batch announced {promised}")
    return wrong
