"""The files of a batch: CSV, XLSX and IIF for programs, UBL for the buyer's program, PDF for
people, PDF/A-3 for both.

A file is complete or does not exist: it is written to a temporary folder and moved to its path only
when its control totals equal those of the documents and of the batch. Files depend on nothing but
the batch, not on clock or machine, so the same batch gives the same bytes at any time.
"""

from pathlib import Path
from typing import Literal

from services.console.files.control_totals import Saved, check_documents
from services.console.files.file_per_document import save_documents
from services.console.files.paths import Progress
from services.console.files.single_file import (
    iif_format,
    layout_format,
    layout_in,
    save_csv,
    save_text,
    save_xlsx,
)
from services.console.queries.snapshot import ReadConnection, Row
from shared.render.iif_names import Accounts, Classes
from shared.render.layout import Layout

FileFormat = Literal["csv", "xlsx", "iif", "ubl", "pdf", "pdfa"]
FORMATS: tuple[FileFormat, ...] = ("csv", "xlsx", "iif", "ubl", "pdf", "pdfa")

__all__ = ["FORMATS", "Accounts", "Classes", "FileFormat", "Progress", "Saved", "layout_in", "save"]


async def save(
    connection: ReadConnection,
    batch: Row,
    file_format: FileFormat,
    path: Path,
    progress: Progress | None = None,
    *,
    country: str = "",
    accounts: Accounts | None = None,
    classes: Classes | None = None,
    layout: Layout | None = None,
    merged: bool = False,
) -> Saved:
    """Writes the files of a batch, or of one document of it, to a path.

    Raises `Refused`, and leaves no file, if a document does not fit the format or the totals
    differ. `country` is for parties of an e-invoice whose address names none; `accounts` are the
    account names in an IIF file, `classes` where its lines have their class from. A `layout` says
    how a CSV file looks. `merged`: PDFs are joined for a printer.
    """
    await check_documents(connection, batch, file_format, country)
    match file_format:
        case "csv" if layout is not None:
            form = layout_format(layout)
            return await save_text(connection, batch, path, progress, form)
        case "csv":
            return await save_csv(connection, batch, path, progress)
        case "xlsx":
            return await save_xlsx(connection, batch, path, progress)
        case "iif":
            form = iif_format(accounts or Accounts(), classes)
            return await save_text(connection, batch, path, progress, form)
        case _:
            return await save_documents(
                connection, batch, file_format, path, progress, country, merged=merged
            )
