"""What stands before and after a file: do its documents fit the format, and do its totals agree with the batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.console.client.books import ReadConnection, Row
from services.console.client.closed import closed_documents
from shared.errors import Refused
from shared.render import PRINTABLE_LINES, ControlTotals, EInvoice, iif
from shared.stored import decimal_of
from shared.terms import ClosedDocument, counted

NAMED = 20
"""So many problems are named; the rest is counted."""
MENDS = {
    "ubl": "say --country XX (two letters) for parties whose address names none; take --format pdf, csv or xlsx for what does not fit",
    "iif": "take --format csv or xlsx for this batch; fix the series or the Account Name for those to come",
    "pdf": "take --format csv or xlsx",
}


@dataclass(frozen=True)
class Saved:
    """What was written: the place, the number of files, and what they add up to."""

    path: Path
    files: int
    totals: ControlTotals


def _problems(document: ClosedDocument, file_format: str, country: str) -> list[str]:
    """Why a document does not fit a format."""
    found: list[str] = []
    if file_format in ("pdf", "pdfa") and document.line_count > PRINTABLE_LINES:
        found.append(
            f"{document.invoice_number}: {document.line_count:,} lines, and a PDF is made of {PRINTABLE_LINES:,} at most"
        )
    if file_format in ("ubl", "pdfa"):
        found += EInvoice(document, country).problems()
    if file_format == "iif":
        found += iif.problems(document)
    return found


async def check_documents(
    connection: ReadConnection, batch: Row, file_format: str, country: str
) -> None:
    """Refused, before a line is read, if documents of the batch do not fit the format; the message names them."""
    if file_format in ("csv", "xlsx"):
        return
    found: list[str] = []
    async for documents in closed_documents(connection, batch["batch_id"]):
        for document in documents:
            found += _problems(document, file_format, country)
    if found:
        rest = [f"and {counted(len(found) - NAMED, 'more problem')}"] if len(found) > NAMED else []
        fix = MENDS["ubl" if file_format == "pdfa" else file_format]
        raise Refused(
            "not_in_this_format", "; ".join([*found[:NAMED], *rest]), fix, problems=found[:NAMED]
        )


def compare(batch: Row, totals: ControlTotals) -> None:
    """The file against the heads of its documents, and against what the batch announced on screen and topic."""
    wrong = [*totals.mismatches(), *_against_batch(batch["totals"], totals)]
    if wrong:
        raise Refused(
            "control_totals_differ",
            "; ".join(wrong),
            "run `backoffice verify`; no file was kept",
            mismatches=wrong,
        )


def _against_batch(announced: Sequence[dict[str, Any]], totals: ControlTotals) -> list[str]:
    wrong: list[str] = []
    by_currency = {each["currency"]: each for each in announced}
    for currency in sorted(by_currency.keys() | totals.by_currency.keys()):
        found, said = totals.by_currency.get(currency), by_currency.get(currency)
        if found is None or said is None:
            wrong.append(
                f"{currency}: the {'batch' if found is None else 'file'} has documents, the {'file' if found is None else 'batch'} has none"
            )
            continue
        for name in ("documents", "lines", "net", "tax", "total"):
            written, promised = decimal_of(getattr(found, name)), decimal_of(said[name])
            if written != promised:
                wrong.append(
                    f"{currency}: the file has {name} {written}, the batch announced {promised}"
                )
    return wrong
