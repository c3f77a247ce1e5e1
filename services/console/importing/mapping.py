"""Reads the names of our codes in a ledger from a CSV file, with everything that is wrong, by
line.
"""

import csv
from pathlib import Path

KINDS = ("account", "item", "term", "tax", "customer")
COLUMNS = ("what", "code", "remote")


def read_mapping(file: Path) -> tuple[list[dict[str, str]], list[str]]:
    """The rows (what, code, remote), and what is wrong, line by line."""
    rows: list[dict[str, str]] = []
    wrong: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
        missing = sorted(set(COLUMNS) - set(names))
        if missing:
            return [], [f"line 1: the columns {', '.join(missing)} are missing"]
        for raw in reader:
            row = {column: (raw[names[column]] or "").strip() for column in COLUMNS}
            what, code = row["what"], row["code"]
            line = f"line {reader.line_num}"
            if what not in KINDS:
                wrong.append(f"{line}: what is {what!r}, not one of {', '.join(KINDS)}")
            elif not row["remote"]:
                wrong.append(f"{line}: remote is empty: name {what} {code!r} in the ledger")
            elif (what, code) in seen:
                wrong.append(f"{line}: {what} {code!r} is on line {seen[what, code]} already")
            else:
                seen[what, code] = reader.line_num
                rows.append(row)
    return rows, wrong or ([] if rows else ["the file holds no row"])
