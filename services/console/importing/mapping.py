"""Reads the names of our codes in a ledger from a CSV file, with everything that is wrong, by
line.
"""

from collections.abc import Mapping
from pathlib import Path

from services.console.importing.cells import Read
from services.console.importing.csv_rows import Problems, rows_of
from shared.terms import similar_names

KINDS = ("account", "item", "term", "tax", "customer")
COLUMNS: Mapping[str, Read] = {"what": str, "code": str, "remote": str}


def read_mapping(file: Path) -> tuple[list[dict[str, str]], list[str]]:
    """The rows (what, code, remote), and what is wrong, line by line; of a long list the first."""
    rows: list[dict[str, str]] = []
    problems = Problems()
    seen: dict[tuple[str, str], int] = {}
    for line, values in rows_of(file, COLUMNS, problems, "code"):
        row = dict(zip(COLUMNS, values, strict=True))
        what, code = row["what"], row["code"]
        if what not in KINDS:
            near = similar_names(what, KINDS)
            message = f"{what!r} is not one of {', '.join(KINDS)}"
            message += f"; do you mean {near[0]}?" if near else ""
            problems.add(file.name, line, "what", message)
        elif not row["remote"]:
            problems.add(file.name, line, "remote", f"is empty: name {what} {code!r} in the ledger")
        elif (what, code) in seen:
            message = f"{what} {code!r} is on line {seen[what, code]} already"
            problems.add(file.name, line, "", message)
        else:
            seen[what, code] = line
            rows.append(row)
    wrong = [str(problem).removeprefix(f"{file.name}, ") for problem in problems.shown]
    if problems.count > len(wrong):
        wrong.append(f"and {problems.count - len(wrong):,} more")
    return rows, wrong or ([] if rows else ["the file holds no row"])
