"""The files of a batch: CSV, XLSX and IIF for programs, UBL for the buyer's program, PDF for people, PDF/A-3 for both.

A file is complete or not there: written beside its place and moved there only when its control totals equal the heads of the documents
and the totals that the batch announced. Two sums that were made apart agree, or the file is not to be used. Files hold nothing of the
clock or the machine, so the same batch gives the same bytes at any time.
"""

from pathlib import Path
from typing import Literal

from services.console.client.books import ReadConnection, Row
from services.console.client.files.compared import Saved, check_documents
from services.console.client.files.file_per_document import save_documents
from services.console.client.files.paths import Progress
from services.console.client.files.single_file import save_csv, save_iif, save_xlsx
from shared.render.iif import Accounts

FileFormat = Literal["csv", "xlsx", "iif", "ubl", "pdf", "pdfa"]
FORMATS: tuple[FileFormat, ...] = ("csv", "xlsx", "iif", "ubl", "pdf", "pdfa")

__all__ = ["FORMATS", "Accounts", "FileFormat", "Progress", "Saved", "save"]


async def save(
    connection: ReadConnection,
    batch: Row,
    file_format: FileFormat,
    path: Path,
    progress: Progress | None = None,
    *,
    country: str = "",
    accounts: Accounts | None = None,
) -> Saved:
    """The files of a batch at that place. Raises `Refused`, and leaves no file, if a document does not fit the format or the totals disagree.

    `country` is for parties of an e-invoice whose address names none; `accounts` are the names that an IIF books to.
    """
    await check_documents(connection, batch, file_format, country)
    match file_format:
        case "csv":
            return await save_csv(connection, batch, path, progress)
        case "xlsx":
            return await save_xlsx(connection, batch, path, progress)
        case "iif":
            return await save_iif(connection, batch, path, progress, accounts or Accounts())
        case _:
            return await save_documents(connection, batch, file_format, path, progress, country)
