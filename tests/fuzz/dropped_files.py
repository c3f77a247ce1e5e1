"""What a file drop reads back, acknowledgements and payments, with the column files of both; and
layouts of files that are written.
"""

from decimal import Decimal

from services.arg_sync.ledgers import drop_reads
from services.arg_sync.ledgers.column_files import Column, read_columns
from services.arg_sync.ledgers.failures import Failure
from shared.errors import Refused
from shared.render.layout import read_layout
from shared.render.layout_csv import LayoutRows
from shared.render.layout_fields import FIELDS
from tests.fuzz.csv_files import CELLS, ENCODINGS, SEPARATORS
from tests.fuzz.hostile import Picks
from tests.rules.test_render import a_document, a_line

OF_FILE = {
    "acknowledgements": drop_reads.ACKNOWLEDGEMENT_FIELDS,
    "payments": drop_reads.PAYMENT_FIELDS,
    "layouts": tuple(FIELDS),
}
FORMS = ("", "comma", "%d.%m.%Y", "%Y%Y", "%", "OK|BOOKED", "|", "\x00")
GOOD = ("P-1", "INV-000001", "10.00", "USD", "2026-03-31", "no", "1.234,50", "31.03.2026", "OK")
WORDS = (*GOOD, *CELLS)
SETTINGS = ("rows", "signs", "separator", "decimal", "dates", "encoding", "line_end", "header")
KEYS = ("heading", "text", "values", "otherwise", "cut", "most", "part", "dates", "other", "column")
TOML = (
    *('"line"', '"tax"', '"document"', '"row"', '";"', '","', '"cp1252"', '"utf-8-sig"', "false"),
    *("1", "0", "-1", "9" * 20, "1.5", "inf", "2026-03-31", '"%d/%m/%Y"', '"%"', '""', '"\\u0000"'),
    *(
        '"=1+1"',
        '"聖"',
        '{invoice = "SI", credit-note = "SC"}',
        '{"" = "x"}',
        "{}",
        "[[1]]",
        "[" * 9,
    ),
)


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


def layout_file(picks: Picks) -> bytes:
    """Settings and columns with right and wrong values, or anything."""
    if picks.number(6) == 1:
        return picks.rest
    lines = []
    for key in SETTINGS:
        if picks.number(4) == 1:
            lines.append(f"{key} = {TOML[picks.number(len(TOML))]}")
    for _ in range(picks.number(5)):
        name = OF_FILE["layouts"][picks.number(len(FIELDS))]
        lines += ["[[column]]", f'field = "{name}"']
        for key in KEYS:
            if picks.number(6) == 1:
                lines.append(f"{key} = {TOML[picks.number(len(TOML))]}")
    return "\n".join(lines).encode()


def write_by_layout(picks: Picks) -> None:
    """Read a layout, and write a document by it; what is written has the layout's encoding."""
    layout = read_layout(layout_file(picks), "layout")
    line = a_line(1, description="=1+1\t聖", worker_id="Ł1", project="a;-b", week_ending=None)
    document, rows = a_document([line]), LayoutRows(layout)
    text = [*rows.opening(), *rows.begin(document), rows.line(document, line), *rows.end(document)]
    rows.require_no_problem()
    "".join(text).encode(layout.encoding)


def run(data: bytes) -> None:
    """Read a column file, and a file by it; or a layout, and write by it."""
    picks = Picks(data)
    target = tuple(OF_FILE)[picks.number(len(OF_FILE))]
    if target == "layouts":
        try:
            write_by_layout(picks)
        except Refused as refused:
            refused.message.encode()
        return
    try:
        columns = read_columns(column_file(OF_FILE[target], picks), OF_FILE[target], "columns")
    except ValueError:
        return
    try:
        read(target, columns, picks)
    except Failure as failed:
        failed.message.encode()
