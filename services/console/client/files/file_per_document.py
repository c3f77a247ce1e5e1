"""Formats that are one file a document: UBL, PDF, PDF/A-3. Into a folder, into a .zip, or (a batch of one document) as that file."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from services.console.client.books import ReadConnection, Row
from services.console.client.closed import closed_documents, closed_lines
from services.console.client.files.compared import Saved, compare
from services.console.client.files.paths import (
    Progress,
    archive,
    drafts_beside,
    move_all,
    place_of,
    safe_name,
)
from shared.errors import Refused
from shared.render import ControlTotals, EInvoice, pdf_document, ubl_file
from shared.terms import ClosedDocument, ClosedLine

SUFFIXES = {"ubl": ".xml", "pdf": ".pdf", "pdfa": ".pdf"}


async def save_documents(
    connection: ReadConnection,
    batch: Row,
    file_format: str,
    path: Path,
    progress: Progress | None,
    country: str,
) -> Saved:
    """One file a document. A single place with the format's suffix is for a batch of one document."""
    place, suffix = place_of(path), SUFFIXES[file_format]
    kind = place.suffix.lower()
    if kind == suffix and batch["documents"] != 1:
        raise Refused("several_documents", f"batch {batch['batch_id']} has {batch['documents']} documents and {path.name} is one file",
                      "name a folder or a .zip with --out")  # fmt: skip
    totals, names, taken = ControlTotals(), [], set[str]()
    with drafts_beside(place) as drafts:
        async for documents in closed_documents(connection, batch["batch_id"]):
            for document in documents:
                name = safe_name(document.invoice_number, str(document.invoice_id), suffix, taken)
                totals.add_document(document)
                await _write(connection, document, file_format, drafts / name, totals, country)
                names.append(name)
                if progress is not None:
                    progress(len(names), batch["documents"])
        compare(batch, totals)
        if kind == suffix:
            (drafts / names[0]).replace(place)
        elif kind == ".zip":
            archive(drafts, names, place)
        else:
            move_all(drafts, names, place)
    return Saved(place, 1 if kind in (suffix, ".zip") else len(names), totals)


async def _write(
    connection: ReadConnection,
    document: ClosedDocument,
    file_format: str,
    draft: Path,
    totals: ControlTotals,
    country: str,
) -> None:
    """One document as a file. UBL streams; for a page the typesetter needs all lines of the document at once."""
    async with aclosing(closed_lines(connection, [document])) as lines:
        if file_format == "ubl":
            with ubl_file(draft, EInvoice(document, country)) as write:
                async for _, line in lines:
                    totals.add_line(document.currency, line)
                    write(line)
            return
        listed: list[ClosedLine] = []
        async for _, line in lines:
            totals.add_line(document.currency, line)
            listed.append(line)
    if file_format == "pdf":
        await asyncio.to_thread(_set, draft, pdf_document, document, listed)
    else:
        from shared.render.pdfa import (
            pdfa_document,  # slow to import, and not needed for the other formats
        )

        await asyncio.to_thread(_set, draft, pdfa_document, EInvoice(document, country), listed)


def _set(
    draft: Path,
    render: Callable[..., bytes],
    subject: ClosedDocument | EInvoice,
    lines: list[ClosedLine],
) -> None:
    """Sets a document and writes it, in a thread."""
    draft.write_bytes(render(subject, lines))
