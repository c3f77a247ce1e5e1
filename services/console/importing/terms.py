"""Reads terms of debtors, and the periods of a billing cycle, from CSV files, with everything
that is wrong, by line.

Of terms only the column `account_name` must exist; a missing column, and an empty cell, leave the
term unchanged.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.console.importing.cells import Read, day, name, optional
from services.console.importing.csv_rows import Problems, rows_of
from services.console.importing.dialect import UnreadableFile, open_csv
from shared.events.commands import AnyCommand

DEFAULT_AGAIN = "-"
"""In a cell of `time_group` or `payment_terms`: the billing company's default again."""


def _plain(cell: str) -> str | None:
    return cell or None


def _or_default(cell: str) -> str | None:
    return "" if cell == DEFAULT_AGAIN else cell or None


def _yes(cell: str) -> bool | None:
    if cell.lower() not in ("yes", "no", ""):
        raise ValueError(f"{cell!r} is not yes or no")
    return cell.lower() == "yes" if cell else None


TERMS: Mapping[str, Read] = {
    "account_name": name,
    "from_date": optional(day),
    "time_group": _or_default,
    "payment_terms": _or_default,
    "missing_timesheets": _plain,
    "credits": _plain,
    "zero_documents": _yes,
    "tax_regime": _plain,
    "tax_wording": _plain,
    "tax_id": optional(name),
    "address": _plain,
}
PERIODS: Mapping[str, Read] = {"first_day": day, "last_day": day}


def read_terms(
    path: Path, new_command: Callable[..., AnyCommand], billing_company: str
) -> tuple[list[tuple[int, AnyCommand]], Problems]:
    """The command of each line, made by `new_command(name, **fields)`, and all that is wrong."""
    problems = Problems()
    columns = _columns(path, TERMS, "account_name", problems)
    found: list[tuple[int, AnyCommand]] = []
    if problems.count:
        return found, problems
    for line, values in rows_of(path, columns, problems, "account_name"):
        cells = zip(columns, values, strict=True)
        given = {column: value for column, value in cells if value is not None}
        try:
            command = new_command("set-debtor-terms", billing_company=billing_company, **given)
            found.append((line, command))
        except ValidationError as error:
            for each in error.errors():
                where = ".".join(str(part) for part in each["loc"])
                problems.add(path.name, line, where, each["msg"])
    if not found and not problems.count:
        problems.add(path.name, 1, "", "has no rows below its columns")
    return found, problems


def read_periods(path: Path) -> tuple[list[dict[str, Any]], Problems]:
    """The custom periods of a file, and what is wrong with each; the invoicer finds gaps and
    overlaps.
    """
    problems = Problems()
    found: list[dict[str, Any]] = []
    for line, (first_day, last_day) in rows_of(path, PERIODS, problems, "first_day"):
        if first_day > last_day:
            problems.add(
                path.name, line, "first_day", f"{first_day} is after the last_day {last_day}"
            )
        else:
            found.append({"first_day": first_day, "last_day": last_day})
    return found, problems


def _columns(
    path: Path, known: Mapping[str, Read], key: str, problems: Problems
) -> dict[str, Read]:
    """The columns that the first line names. An unknown column is a problem: it may be misspelt."""
    try:
        with open_csv(path, known) as (dialect, _):
            places = {column: dialect.find(column) for column in known}
    except UnreadableFile:
        return dict(known)  # `rows_of` names what is wrong
    found = {at for each in places.values() for at in each}
    for at, column in enumerate(dialect.names):
        if column and at not in found:
            problems.add(
                path.name,
                dialect.header_line,
                column,
                f"is no column of terms; the columns are {', '.join(known)}",
            )
    return {column: read for column, read in known.items() if places[column] or column == key}
