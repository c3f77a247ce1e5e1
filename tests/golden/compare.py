"""Compares what the code computes with the golden files: `python -m tests.golden.compare --all`.

A difference is shown as the table, the row by its key, and the columns that differ. Columns are
compared by their position, so only the golden file's names are shown. `renamed_codes.json` holds
what was renamed on purpose since the recording: `codes` (whole values of the columns of codes) and
`phrases` (literal text of files and descriptions), each old to new.
"""

import argparse
import asyncio
import difflib
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.golden import inputs
from tests.golden.files import (
    AGENCY,
    HISTORIES,
    SAMPLE,
    databases,
    read,
    replay_documents,
    replay_histories,
)

RENAMED = Path(__file__).with_name("renamed_codes.json")
EVERY_TENTH = 10
MOST_DIFFERENCES = 20
MOST_TEXT_LINES = 12
CODE_COLUMNS = ("code", "codes", "kind", "status", "state")
PHRASE_COLUMNS = ("description", "command_id")
Rows = dict[str, Any]


@dataclass(frozen=True)
class Renames:
    """What was renamed on purpose since the recording."""

    codes: Mapping[str, str] = field(default_factory=dict)
    phrases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def committed(cls) -> "Renames":
        """Those of the committed table."""
        return cls(**json.loads(RENAMED.read_text(encoding="utf-8")))

    def text(self, golden: str) -> str:
        """A text with the new phrases."""
        for old, new in self.phrases.items():
            golden = golden.replace(old, new)
        return golden

    def row(self, columns: Sequence[str], row: Sequence[Any]) -> list[Any]:
        """A row with the new codes and phrases."""
        return [self._value(name, value) for name, value in zip(columns, row, strict=True)]

    def _value(self, column: str, value: Any) -> Any:
        if isinstance(value, str) and column in PHRASE_COLUMNS:
            return self.text(value)
        return self._code(value) if column.endswith(CODE_COLUMNS) else value

    def _code(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._code(each) for each in value]
        return self.codes.get(value, value) if isinstance(value, str) else value


def table_differences(name: str, golden: Rows, found: Rows, renames: Renames) -> list[str]:
    """How the rows of one table differ."""
    columns = golden.get("columns") or found["columns"]
    if len(found.get("columns") or columns) != len(columns):
        return [f"{name}: {len(columns)} columns are recorded, {len(found['columns'])} are found"]
    wanted = Counter(json.dumps(renames.row(columns, row)) for row in golden.get("rows", ()))
    there = Counter(json.dumps(row) for row in found.get("rows", ()))
    keys = golden.get("key_columns") or found["key_columns"]
    missing = [json.loads(row) for row in (wanted - there).elements()]
    added = [json.loads(row) for row in (there - wanted).elements()]
    reported = []
    for row in missing:
        same = next((other for other in added if other[:keys] == row[:keys]), None)
        where = f"{name} {' '.join(map(str, row[:keys]))}"
        if same is None:
            reported.append(f"{where}: is missing; it was {dict(zip(columns, row, strict=True))}")
            continue
        added.remove(same)
        pairs = zip(columns, row, same, strict=True)
        changes = [f"{column} was {old!r}, is {new!r}" for column, old, new in pairs if old != new]
        reported.append(f"{where}: {'; '.join(changes)}")
    for row in added:
        values = dict(zip(columns, row, strict=True))
        reported.append(f"{name} {' '.join(map(str, row[:keys]))}: was not there; it is {values}")
    return reported


def differences(golden: Rows, found: Rows, renames: Renames) -> list[str]:
    """How the tables differ."""
    reported: list[str] = []
    for name in sorted(golden | found):
        reported += table_differences(name, golden.get(name, {}), found.get(name, {}), renames)
    return reported


def text_differences(
    golden: Mapping[str, str], found: Mapping[str, str], renames: Renames
) -> list[str]:
    """How the texts of files differ, each as the first lines of a unified diff."""
    reported = []
    for name in sorted({*golden, *found}):
        old, new = renames.text(golden.get(name, "")), found.get(name, "")
        if old != new:
            reported.append(f"file {name}, {_first_difference(old, new)}")
    return reported


def _first_difference(old: str, new: str) -> str:
    """A diff of the lines that follow the first difference: a whole file may be too long for it."""
    before, after = old.splitlines(), new.splitlines()
    pairs = enumerate(itertools.zip_longest(before, after))
    at = next((number for number, (one, other) in pairs if one != other), 0)
    window = slice(at, at + MOST_TEXT_LINES)
    lines = list(difflib.unified_diff(before[window], after[window], n=0, lineterm=""))[3:]
    return f"line {at + 1}:\n" + "\n".join(f"    {line}" for line in lines[:MOST_TEXT_LINES])


def shown(reported: Sequence[str]) -> str:
    """The first differences, and how many more there are."""
    rest = len(reported) - MOST_DIFFERENCES
    return "\n".join([*reported[:MOST_DIFFERENCES], *([f"and {rest} more"] if rest > 0 else [])])


def compare_sample(url: str) -> list[str]:
    """Replays the sample month; how it differs."""
    steps, tables, texts = (next(iter(row.values())) for row in read(SAMPLE))
    return _compared(url, steps, tables, texts)


def compare_agency(url: str) -> list[str]:
    """Replays the agency's hours; how they differ."""
    digest, tables, texts = (next(iter(row.values())) for row in read(AGENCY))
    steps = inputs.agency_steps(inputs.AGENCY_DATA)
    reported = _compared(url, steps, tables, texts)
    if inputs.digest_of(steps) != digest:
        reported.insert(0, "the import publishes other messages than those that were recorded")
    return reported


def _compared(url: str, steps: Any, tables: Rows, texts: Mapping[str, str]) -> list[str]:
    renames = Renames.committed()
    found, files = asyncio.run(replay_documents(url, steps))
    reported = differences(tables, found, renames)
    return reported + text_differences(texts, files, renames)


def compare_histories(url: str, every: int = 1) -> list[str]:
    """Replays the histories, or every nth of them; how they differ."""
    head, *rows = read(HISTORIES)
    numbers = range(0, len(rows), every)
    setup, steps = head["steps"], [rows[number]["steps"] for number in numbers]
    found = asyncio.run(replay_histories(url, setup, steps))
    renames, reported = Renames.committed(), []
    for number, one in zip(numbers, found, strict=True):
        both = differences(rows[number]["tables"], one, renames)
        reported += [f"history {number}: {difference}" for difference in both]
    return reported


def _all(urls: Iterator[str], every: int) -> int:
    failed = 0
    for source, compare in (
        (SAMPLE, compare_sample),
        (AGENCY, compare_agency),
        (HISTORIES, lambda url: compare_histories(url, every)),
    ):
        if source == AGENCY and not inputs.AGENCY_DATA.is_dir():
            print(f"{source}: not compared; name the folder of its data with BACKOFFICE_TEST_DATA")
            continue
        began = time.monotonic()
        reported = compare(next(urls))
        failed += bool(reported)
        verdict = f"{len(reported)} differences" if reported else "the same"
        print(f"{source}: {verdict}, {time.monotonic() - began:.0f} s")
        if reported:
            print(shown(reported))
    return failed


def main() -> None:
    """Compares all sources; exit code 1 if one differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="all histories, not every tenth")
    every = 1 if parser.parse_args().all else EVERY_TENTH
    with databases() as urls:
        sys.exit(1 if _all(urls, every) else 0)


if __name__ == "__main__":
    main()
