"""CSV files of imports, of ledger mappings, of terms and of periods: rows, or named problems."""

from typing import Any

from services.console.importing import mapping, terms
from services.console.importing.csv_rows import SHOWN_PROBLEMS, Problems
from services.console.importing.folder import COLUMNS, FILES, read_folder
from services.console.importing.plan import StoredDocuments, plan_import
from shared.errors import Refused
from tests import builders
from tests.fuzz.hostile import Picks, folder

CELLS = (
    "",
    "R-1",
    "N-1",
    "office",
    "company",
    "2026-03-08",
    "2026-03-02",
    "REG",
    "8",
    "7,5",
    "1.250",
    "USD",
    "=1+1",
    "'001",
    "1E+15",
    "#REF!",
    '"',
    "\x00",
    "\ud800",
    "x" * 2_500,
    "9" * 5_000,
    "1e999999",
    "NaN",
    "\u202e",
    "yes",
    "net:30",
    "account",
    "-",
)
SEPARATORS = (",", ";", "\t", "|")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1")
TARGETS = (*FILES, "mapping", "terms", "periods")


def columns_of(target: str) -> list[str]:
    """The columns of a file."""
    tables: dict[str, Any] = {
        "mapping": mapping.COLUMNS,
        "terms": terms.TERMS,
        "periods": terms.PERIODS,
    }
    return list(COLUMNS[target] if target in COLUMNS else tables[target])


def text(target: str, picks: Picks) -> bytes:
    """A file: right columns mostly, cells from the list or from the fuzzed bytes."""
    if picks.number(6) == 1:
        return picks.rest
    separator = SEPARATORS[picks.number(len(SEPARATORS))]
    names = columns_of(target)
    if picks.number(6) == 1:
        names[picks.number(len(names))] = picks.rest[:30].decode("latin-1")
    lines = [separator.join(names)]
    for _ in range(picks.number(5)):
        cells = [CELLS[picks.number(len(CELLS))] for _ in names]
        if picks.number(5) == 1:
            cells[0] = picks.rest[:40].decode("utf-8", "replace")
        lines.append(separator.join(cells))
    whole = ("\r\n" if picks.number(2) else "\n").join(lines)
    encoding = ENCODINGS[picks.number(8) % len(ENCODINGS)]
    return whole.encode(encoding, "surrogatepass" if "utf" in encoding else "replace")


def run(data: bytes) -> None:
    """Read one file."""
    picks = Picks(data)
    target = TARGETS[picks.number(len(TARGETS))]
    one_file = folder("csv")
    for old in one_file.iterdir():
        old.unlink()
    path = one_file / (target if target in FILES else f"{target}.csv")
    path.write_bytes(text(target, picks))
    problems = Problems()
    if target in FILES:
        try:
            contents = read_folder(one_file, problems)
        except Refused:
            return
        if not problems.count:
            plan_import(contents, StoredDocuments(), "acme-us", builders.WEEK, problems)
    elif target == "mapping":
        rows, wrong = mapping.read_mapping(path)
        assert rows or wrong
    elif target == "terms":
        _, problems = terms.read_terms(path, builders.command, "acme-us")
    else:
        _, problems = terms.read_periods(path)
    assert len(problems.shown) == min(problems.count, SHOWN_PROBLEMS)
    for problem in problems.shown:
        str(problem).encode("utf-8", "surrogateescape")
