"""Reading what differs for debtors, and the periods of a billing cycle, from CSV files: everything that is wrong, by line.

Of terms only `account_name` must be there; a column that is left out, and an empty cell, leave what holds as it is.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.console.importing.columns import Read, day, name, optional
from services.console.importing.sheets import Problems, rows_of
from shared.events.commands import Period, SetDebtorTerms

DEFAULT_AGAIN = "-"
"""In a cell of `time_group` or `payment_terms`: the billing company's default again."""


def _plain(cell: str) -> str | None:
    return cell or None


def _or_default(cell: str) -> str | None:
    return "" if cell == DEFAULT_AGAIN else cell or None


def _yes(cell: str) -> bool | None:
    if cell.lower() not in ("yes", "no", ""):
        raise ValueError(f"{cell!r} is not yes or no")
    return None if not cell else cell.lower() == "yes"


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
    path: Path, said: Mapping[str, Any], billing_company: str, new_id: Any
) -> tuple[list[tuple[int, SetDebtorTerms]], Problems]:
    """The command of each line, and all that is wrong. `said` is what every command carries, `new_id()` gives each its own id."""
    problems = Problems()
    columns = _columns(path, TERMS, "account_name", problems)
    found: list[tuple[int, SetDebtorTerms]] = []
    if not problems.count:
        for line, values in rows_of(path, columns, problems, "account_name"):
            given = {
                column: value
                for column, value in zip(columns, values, strict=True)
                if value is not None
            }
            try:
                found.append(
                    (
                        line,
                        SetDebtorTerms.model_validate(
                            {**said, "command_id": new_id(), "billing_company": billing_company}
                            | given
                        ),
                    )
                )
            except ValidationError as error:
                for each in error.errors():
                    problems.add(
                        path.name, line, ".".join(str(part) for part in each["loc"]), each["msg"]
                    )
        if not found and not problems.count:
            problems.add(path.name, 1, "", "has no rows below its columns")
    return found, problems


def read_periods(path: Path) -> tuple[tuple[Period, ...], Problems]:
    """The custom periods of a file, and all that is wrong with them one by one; gaps and overlaps are judged by who keeps them."""
    problems = Problems()
    found: list[Period] = []
    for line, (first_day, last_day) in rows_of(path, PERIODS, problems, "first_day"):
        if first_day > last_day:
            problems.add(
                path.name, line, "first_day", f"{first_day} is after the last_day {last_day}"
            )
        else:
            found.append(Period(first_day=first_day, last_day=last_day))
    return tuple(found), problems


def _columns(
    path: Path, known: Mapping[str, Read], key: str, problems: Problems
) -> dict[str, Read]:
    """The columns that the first line names; one that is misspelt must not be passed over."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        header: Sequence[str] = [cell.strip() for cell in next(csv.reader(stream), [])]
    for column in header:
        if column and column not in known:
            problems.add(
                path.name, 1, column, f"is no column of terms; the columns are {', '.join(known)}"
            )
    return {column: read for column, read in known.items() if column in header or column == key}
