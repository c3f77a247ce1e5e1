"""Formats that are one file a document: UBL, PDF, PDF/A-3.

They go into a folder, into a .zip, or, from a batch of one document, to one file.
"""

import asyncio
import unicodedata
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
from services.console.queries.closed_documents import closed_documents, closed_lines
from services.console.queries.snapshot import ReadConnection, Row
from shared.errors import Refused
from shared.render import ControlTotals, EInvoice, pdf_document, ubl_file
from shared.render.pdf import uncommon_words, without_font
from shared.terms import ClosedDocument, ClosedLine, counted

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
        async for documents in closed_documents(connection, batch["batch_id"]):
            for document in documents:
                name = safe_name(document.invoice_number, str(document.invoice_id), suffix, taken)
                totals.add_document(document)
                await _write(connection, document, file_format, folder / name, totals, country)
                names.append(name)
                if progress is not None:
                    progress(len(names), batch["documents"])
        compare_totals(batch, totals)
        if merged:
            from services.console.files.merging import merge_all  # slow to import

            return Saved(target, len(merge_all(folder, names, target)), totals)
        if kind == suffix:
            (folder / names[0]).replace(target)
        elif kind == ".zip":
            archive(folder, names, target)
        else:
            move_all(folder, names, target)
    return Saved(target, 1 if kind in (suffix, ".zip") else len(names), totals)


async def _require_fonts(connection: ReadConnection, batch: Row) -> None:
    """Refuses a batch, before anything is written, with text that no font has; names each."""
    invoices: dict[str, str] = {}
    async for documents in closed_documents(connection, batch["batch_id"]):
        for document in documents:
            async with aclosing(closed_lines(connection, [document])) as lines:
                listed = [line async for _, line in lines]
            for word in await asyncio.to_thread(uncommon_words, document, listed):
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
) -> None:
    """Writes one document.

    UBL is streamed; the typesetter of a PDF needs all lines of the document at once.
    """
    listed: list[ClosedLine] = []
    async with aclosing(closed_lines(connection, [document])) as lines:
        if file_format == "ubl":
            with ubl_file(draft, EInvoice(document, country)) as write:
                async for _, line in lines:
                    totals.add_line(document.currency, line)
                    write(line)
            return
        async for _, line in lines:
            totals.add_line(document.currency, line)
            listed.append(line)

    def render() -> bytes:
        if file_format == "pdf":
            return pdf_document(document, listed)
        from shared.render.pdfa import pdfa_document  # slow to import; other formats need it not

        return pdfa_document(EInvoice(document, country), listed)

    await asyncio.to_thread(lambda: draft.write_bytes(render()))
