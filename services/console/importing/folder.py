"""What the files of a folder say: billto nodes, requirements, bill rates and timesheets, each with the line it stands on.

Each file may be missing. Here a file is held against itself (ids that are there twice, rows of one timesheet that contradict each
other); `plan` holds it against the other files and the books.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from services.console.importing import columns
from services.console.importing.sheets import Problems, rows_of
from shared.errors import Refused
from shared.events.ats import RateFrom, TimesheetEntry
from shared.terms import LEVELS

BILLTO, REQUIREMENTS, RATES, TIMESHEETS = (
    "billto.csv",
    "requirements.csv",
    "bill_rates.csv",
    "timesheets.csv",
)
FILES = (BILLTO, REQUIREMENTS, RATES, TIMESHEETS)
DAYS_OF_A_WEEK = 7

_BILLTO_COLUMNS: dict[str, columns.Read] = {
    "level": columns.level,
    "id": columns.identifier,
    "parent_id": columns.optional(columns.identifier),
    "name": columns.name,
    "account_name": columns.name,
    "address": columns.name,
    "city": columns.name,
    "state": columns.name,
    "zip": columns.name,
}
_REQUIREMENT_COLUMNS: dict[str, columns.Read] = {
    "requirement_id": columns.identifier,
    "office_id": columns.identifier,
    "job_title": columns.name,
    "status": columns.code,
    "position_type": columns.name,
    "currency": columns.currency,
}
_RATE_COLUMNS: dict[str, columns.Read] = {
    "requirement_id": columns.identifier,
    "time_type": columns.code,
    "effective_from": columns.day,
    "bill_rate": columns.bill_rate,
}
_TIMESHEET_COLUMNS: dict[str, columns.Read] = {
    "timesheet_id": columns.identifier,
    "requirement_id": columns.identifier,
    "worker_id": columns.identifier,
    "week_ending": columns.day,
    "work_date": columns.day,
    "time_type": columns.code,
    "hours": columns.hours,
}


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A billto node."""

    line: int
    level: str
    parent_id: str | None
    name: str
    account_name: str
    address: str


@dataclass(frozen=True, slots=True)
class RequirementRow:
    """A requirement; its status has no date in the file."""

    line: int
    office_id: str
    job_title: str
    status: str
    position_type: str
    currency: str


@dataclass(slots=True)
class SheetRows:
    """A timesheet: the rows that name it, wherever in the file they stand."""

    line: int
    worker_id: str
    week_ending: date
    entries: list[TimesheetEntry] = field(default_factory=list)


@dataclass(slots=True)
class Contents:
    """The folder, read. `first_lines` says on which line of which file an id was first referred to."""

    files: list[str] = field(default_factory=list)
    nodes: dict[str, NodeRow] = field(default_factory=dict)
    requirements: dict[str, RequirementRow] = field(default_factory=dict)
    rates: dict[str, dict[tuple[str, date], RateFrom]] = field(default_factory=dict)
    rate_lines: dict[str, int] = field(default_factory=dict)
    timesheets: dict[str, SheetRows] = field(default_factory=dict)
    requirement_lines: dict[str, int] = field(default_factory=dict)
    rows: int = 0


Seen = Callable[[str, int], None]


def read_folder(
    folder: Path, problems: Problems, progress: Seen = lambda file, rows: None
) -> Contents:
    """Everything that the files say; `progress` is told file and number of rows now and then."""
    if not folder.is_dir():
        raise Refused(
            "no_such_folder",
            f"{folder} is not a folder",
            f"name the folder that holds {', '.join(FILES)}",
        )
    contents = Contents(files=[file for file in FILES if (folder / file).is_file()])
    if not contents.files:
        raise Refused(
            "nothing_to_import",
            f"{folder} holds none of {', '.join(FILES)}",
            "name the folder that holds them",
        )
    readers = {
        BILLTO: _read_nodes,
        REQUIREMENTS: _read_requirements,
        RATES: _read_rates,
        TIMESHEETS: _read_timesheets,
    }
    for file in contents.files:
        readers[file](folder / file, contents, problems, progress)
    return contents


_Row = TypeVar("_Row")
PROGRESS_ROWS = 5_000


def _counted(file: str, rows: Iterator[_Row], contents: Contents, progress: Seen) -> Iterator[_Row]:
    number = 0
    for row in rows:
        number += 1
        if number % PROGRESS_ROWS == 0:
            progress(file, number)
        yield row
    contents.rows += number
    progress(file, number)


def _once(
    rows: dict[str, Any], key: str, line: int, file: str, column: str, problems: Problems
) -> bool:
    if key in rows:
        problems.add(file, line, column, f"{key} stands on line {rows[key].line} already")
        return False
    return True


def _read_nodes(path: Path, contents: Contents, problems: Problems, progress: Seen) -> None:
    for line, row in _counted(
        BILLTO, rows_of(path, _BILLTO_COLUMNS, problems, "id"), contents, progress
    ):
        level, node_id, parent_id, name, account_name, *address = row
        if _once(contents.nodes, node_id, line, BILLTO, "id", problems):
            contents.nodes[node_id] = NodeRow(
                line, level, parent_id, name, account_name, postal_address(*address)
            )
    for node_id, node in contents.nodes.items():
        parent = contents.nodes.get(node.parent_id or "")
        if parent is not None and not higher(parent.level, node.level):
            problems.add(
                BILLTO,
                node.line,
                "parent_id",
                f"{node.parent_id} is on the level {parent.level} and cannot stand above the {node.level} {node_id}",
            )


def higher(upper: str, lower: str) -> bool:
    """Whether a node of the first level may stand above one of the second."""
    levels: tuple[str, ...] = LEVELS
    return levels.index(upper) < levels.index(lower)


def postal_address(street: str, city: str, state: str, zip_code: str) -> str:
    """The lines of an address as an envelope has them; nine digits are ZIP+4."""
    if zip_code.isascii() and zip_code.isdigit() and len(zip_code) == 9:
        zip_code = f"{zip_code[:5]}-{zip_code[5:]}"
    place = " ".join(
        part for part in (f"{city}," if city and state else city, state, zip_code) if part
    )
    return "\n".join(part for part in (street, place) if part)


def _read_requirements(path: Path, contents: Contents, problems: Problems, progress: Seen) -> None:
    for line, row in _counted(
        REQUIREMENTS,
        rows_of(path, _REQUIREMENT_COLUMNS, problems, "requirement_id"),
        contents,
        progress,
    ):
        requirement_id, *rest = row
        if _once(
            contents.requirements, requirement_id, line, REQUIREMENTS, "requirement_id", problems
        ):
            contents.requirements[requirement_id] = RequirementRow(line, *rest)


def _read_rates(path: Path, contents: Contents, problems: Problems, progress: Seen) -> None:
    for line, row in _counted(
        RATES, rows_of(path, _RATE_COLUMNS, problems, "requirement_id"), contents, progress
    ):
        requirement_id, time_type, effective_from, bill_rate = row
        rates = contents.rates.setdefault(requirement_id, {})
        contents.rate_lines.setdefault(requirement_id, line)
        if (time_type, effective_from) in rates:
            problems.add(
                RATES,
                line,
                "effective_from",
                f"{requirement_id} has a rate for {time_type} from {effective_from} already",
            )
        rates[time_type, effective_from] = RateFrom(
            time_type=time_type, effective_from=effective_from, bill_rate=bill_rate
        )


def _read_timesheets(path: Path, contents: Contents, problems: Problems, progress: Seen) -> None:
    for line, row in _counted(
        TIMESHEETS, rows_of(path, _TIMESHEET_COLUMNS, problems, "timesheet_id"), contents, progress
    ):
        timesheet_id, requirement_id, worker_id, week_ending, work_date, time_type, hours = row
        sheet = contents.timesheets.get(timesheet_id)
        if sheet is None:
            sheet = contents.timesheets[timesheet_id] = SheetRows(line, worker_id, week_ending)
        contents.requirement_lines.setdefault(requirement_id, line)
        if worker_id != sheet.worker_id:
            problems.add(
                TIMESHEETS,
                line,
                "worker_id",
                f"is {worker_id}, but {timesheet_id} is of {sheet.worker_id} on line {sheet.line}",
            )
        if week_ending != sheet.week_ending:
            problems.add(
                TIMESHEETS,
                line,
                "week_ending",
                f"is {week_ending}, but {timesheet_id} ends on {sheet.week_ending} on line {sheet.line}",
            )
        elif not week_ending - timedelta(days=DAYS_OF_A_WEEK) < work_date <= week_ending:
            problems.add(
                TIMESHEETS,
                line,
                "work_date",
                f"{work_date} is not in the week that ends on {week_ending}",
            )
        sheet.entries.append(_entry(requirement_id, work_date, time_type, hours))


def _entry(requirement_id: str, work_date: date, time_type: str, hours: Decimal) -> TimesheetEntry:
    return TimesheetEntry(
        requirement_id=requirement_id, work_date=work_date, time_type=time_type, hours=hours
    )
