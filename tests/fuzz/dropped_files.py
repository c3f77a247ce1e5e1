"""What a file drop reads back, acknowledgements and payments, and the column files of both."""

from datetime import date
from decimal import Decimal

from services.arg_sync.ledgers import drop_formats, drop_reads
from services.arg_sync.ledgers.column_files import Column, cell_of, read_columns
from services.arg_sync.ledgers.failures import Failure
from shared.render.csv import safe_text
from tests.fuzz.csv_files import CELLS, ENCODINGS, SEPARATORS
from tests.fuzz.hostile import Picks

OF_FILE = {
    "acknowledgements": drop_reads.ACKNOWLEDGEMENT_FIELDS,
    "payments": drop_reads.PAYMENT_FIELDS,
    "written": drop_formats.FIELDS,
}
FORMS = ("", "comma", "comma unsigned", "%d.%m.%Y", "%Y%Y", "%", "OK|BOOKED", "|", "\x00")
GOOD = ("P-1", "INV-000001", "10.00", "USD", "2026-03-31", "no", "1.234,50", "31.03.2026", "OK")
WORDS = (*GOOD, *CELLS)
VALUES = (date(2026, 3, 31), Decimal("-10.00"), "invoice", "=1+1", None)


def column_file(names: tuple[str, ...], picks: Picks) -> str:
    """None, which means our own names, a good one with forms of any kind, or anything."""
    how = picks.number(6)
    if how == 0:
        return ""
    if how == 1:
        return picks.rest.decode("utf-8", "replace")
    lines = [f'"{name}",{name},"{FORMS[picks.number(len(FORMS))]}"' for name in names]
    return "\n".join(["column,value,format", *lines, 'Company,=0815,""'])


def content(headings: list[str], picks: Picks) -> bytes:
    """A file: right headings mostly, cells from the lists or from the fuzzed bytes."""
    if picks.number(8) == 1:
        return picks.rest
    separator = SEPARATORS[picks.number(len(SEPARATORS))]
    lines = [separator.join(headings)]
    for _ in range(picks.number(4)):
        cells = [WORDS[picks.number(len(WORDS))] for _ in headings]
        if picks.number(5) == 1:
            cells[0] = picks.rest[:40].decode("utf-8", "replace")
        lines.append(separator.join(cells))
    encoding = ENCODINGS[picks.number(16) % len(ENCODINGS)] if picks.number(4) == 1 else "utf-8"
    return "\n".join(lines).encode(encoding, "replace")


def read(target: str, columns: tuple[Column, ...], picks: Picks) -> None:
    """Read one file; every payment of it can be stored."""
    text = content([each.heading for each in columns], picks)
    if target == "acknowledgements":
        unused: drop_reads.DropFolder = None  # type: ignore[assignment]
        drop_reads.Acknowledgements(unused, "", columns)._rows(text, "ours.csv")
        return
    for each in drop_reads.payments_in(text, columns, "theirs.csv"):
        assert each.amount.is_finite() and abs(each.amount) < Decimal(10) ** 16, each
        each.payment_id.encode()


def run(data: bytes) -> None:
    """Read a column file, and a file by it; or write values by it."""
    picks = Picks(data)
    target = tuple(OF_FILE)[picks.number(len(OF_FILE))]
    try:
        columns = read_columns(column_file(OF_FILE[target], picks), OF_FILE[target], "columns")
    except ValueError:
        return
    if target == "written":
        for each in columns:
            cell_of(each, VALUES[picks.number(len(VALUES))], safe_text)
        return
    try:
        read(target, columns, picks)
    except Failure as failed:
        failed.message.encode()
