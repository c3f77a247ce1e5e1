"""Checks before and after a file is written: its documents fit the format, and its totals equal
the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.console.queries.closed_documents import closed_documents
from services.console.queries.snapshot import ReadConnection, Row
from shared.errors import Refused
from shared.render import PRINTABLE_LINES, ControlTotals, EInvoice, iif
from shared.stored import decimal_of
from shared.terms import ClosedDocument, counted

SHOWN = 20
"""How many problems are named; the others are counted."""
FIXES = {
    "ubl": "use --country XX (a country code) for parties whose address names none,"
    " or --format pdf, csv or xlsx",
    "iif": "use --format csv or xlsx for this batch;"
    " fix the series or the Account Name for later ones",
    "pdf": "use --format csv or xlsx",
}
ANNOUNCED = ("documents", "lines", "net", "tax", "total")


@dataclass(frozen=True)
class Saved:
    """What was written: the path, the number of files, and their totals."""

    path: Path
    files: int
    totals: ControlTotals


def _problems(document: ClosedDocument, file_format: str, country: str) -> list[str]:
    """Why a document does not fit a format."""
    found: list[str] = []
    if file_format in ("pdf", "pdfa") and document.line_count > PRINTABLE_LINES:
        lines = f"{document.line_count:,} lines; the limit of a PDF is {PRINTABLE_LINES:,}"
        found.append(f"{document.invoice_number}: {lines}")
    if file_format in ("ubl", "pdfa"):
        found += EInvoice(document, country).problems()
    if file_format == "iif":
        found += iif.problems(document)
    return found


async def check_documents(
    connection: ReadConnection, batch: Row, file_format: str, country: str
) -> None:
    """Raises `Refused`, before a line is read, if documents do not fit the format; the message
    names them.
    """
    if file_format in ("csv", "xlsx"):
        return
    found: list[str] = []
    async for documents in closed_documents(connection, batch):
        for document in documents:
            found += _problems(document, file_format, country)
    if found:
        rest = [f"and {counted(len(found) - SHOWN, 'more problem')}"] if len(found) > SHOWN else []
        fix = FIXES["ubl" if file_format == "pdfa" else file_format]
        message = "; ".join([*found[:SHOWN], *rest])
        raise Refused("not_in_this_format", message, fix, problems=found[:SHOWN])


def compare_totals(batch: Row, totals: ControlTotals) -> None:
    """Raises `Refused` if the totals of a file differ from its documents or from the batch."""
    wrong = [*totals.mismatches(), *_differences(batch["totals"], totals)]
    if wrong:
        raise Refused(
            "control_totals_differ",
            "; ".join(wrong),
            "run `backoffice verify`; no file was kept",
            mismatches=wrong,
        )


def _differences(announced: Sequence[dict[str, Any]], totals: ControlTotals) -> list[str]:
    """Where the totals of the file and those that the batch announced differ."""
    wrong: list[str] = []
    by_currency = {each["currency"]: each for each in announced}
    for currency in sorted(by_currency.keys() | totals.by_currency.keys()):
        in_file, in_batch = totals.by_currency.get(currency), by_currency.get(currency)
        if in_file is None or in_batch is None:
            has, lacks = ("batch", "file") if in_file is None else ("file", "batch")
            wrong.append(f"{currency}: the {has} has documents, the {lacks} has none")
            continue
        for name in ANNOUNCED:
            file_has, batch_has = decimal_of(getattr(in_file, name)), decimal_of(in_batch[name])
            if file_has != batch_has:
                difference = f"the file has {name} {file_has}, the batch announced {batch_has}"
                wrong.append(f"{currency}: {difference}")
    return wrong
