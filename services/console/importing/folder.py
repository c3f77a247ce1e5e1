"""The files of a folder: billto nodes, requirements, bill rates, timesheets and placements, each
with its line.

Each file may be missing. Here a file is checked by itself (ids that occur twice, rows of one
timesheet that contradict each other); `plan` compares it with the other files and the database.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from services.console.importing import cells
from services.console.importing.csv_rows import Problems, rows_of
from services.console.importing.placements import (
    NEEDED,
    PLACEMENT_COLUMNS,
    PLACEMENTS,
    PlacementRows,
    read_placements,
)
from shared.errors import Refused
from shared.events.ats import RateFrom, TimesheetEntry
from shared.terms import LEVELS

BILLTO, REQUIREMENTS, RATES, TIMESHEETS = (
    "billto.csv",
    "requirements.csv",
    "bill_rates.csv",
    "timesheets.csv",
)
FILES = (BILLTO, REQUIREMENTS, RATES, TIMESHEETS, PLACEMENTS)
DAYS_OF_A_WEEK = 7
PROGRESS_ROWS = 5_000

COLUMNS: dict[str, dict[str, cells.Read]] = {
    BILLTO: {
        "level": cells.level,
        "id": cells.identifier,
        "parent_id": cells.optional(cells.identifier),
        "name": cells.name,
        "account_name": cells.name,
        "address": cells.name,
        "city": cells.name,
        "state": cells.name,
        "zip": cells.name,
    },
    REQUIREMENTS: {
        "requirement_id": cells.identifier,
        "office_id": cells.identifier,
        "job_title": cells.name,
        "status": cells.code,
        "position_type": cells.name,
        "currency": cells.currency,
    },
    RATES: {
        "requirement_id": cells.identifier,
        "time_type": cells.code,
        "effective_from": cells.day,
        "bill_rate": cells.bill_rate,
    },
    TIMESHEETS: {
        "timesheet_id": cells.identifier,
        "requirement_id": cells.identifier,
        "worker_id": cells.identifier,
        "week_ending": cells.day,
        "work_date": cells.day,
        "time_type": cells.code,
        "hours": cells.hours,
        "worker_name": cells.name,
        "po": cells.name,
        "billable": lambda cell: cells.yes(cell) is not False,
    },
    PLACEMENTS: {column: each.read for column, each in PLACEMENT_COLUMNS.items()},
}
OPTIONAL: dict[str, frozenset[str]] = {
    TIMESHEETS: frozenset({"worker_name", "po", "billable"}),
    PLACEMENTS: frozenset(PLACEMENT_COLUMNS) - frozenset(NEEDED),
}
"""Columns that a file need not have."""


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
class TimesheetRows:
    """A timesheet: its rows, wherever in the file they are, and the line of the first."""

    line: int
    worker_id: str
    week_ending: date
    entries: list[TimesheetEntry] = field(default_factory=list)
    worker_name: str = ""


@dataclass(slots=True)
class FolderContents:
    """The folder, read.

    `rate_lines` and `requirement_lines`: where the file first refers to a requirement.
    """

    files: list[str] = field(default_factory=list)
    nodes: dict[str, NodeRow] = field(default_factory=dict)
    requirements: dict[str, RequirementRow] = field(default_factory=dict)
    rates: dict[str, dict[tuple[str, date], RateFrom]] = field(default_factory=dict)
    rate_lines: dict[str, int] = field(default_factory=dict)
    timesheets: dict[str, TimesheetRows] = field(default_factory=dict)
    requirement_lines: dict[str, int] = field(default_factory=dict)
    placements: dict[str, PlacementRows] = field(default_factory=dict)
    rows: int = 0


Progress = Callable[[str, int], None]
Rows = Iterator[tuple[int, Sequence[Any]]]


def read_folder(
    folder: Path, problems: Problems, progress: Progress = lambda file, rows: None
) -> FolderContents:
    """Everything in the files; `progress` is called with file and number of rows now and then."""
    names = ", ".join(FILES)
    if not folder.is_dir():
        raise Refused(
            "no_such_folder", f"{folder} is not a folder", f"name the folder that holds {names}"
        )
    contents = FolderContents(files=[file for file in FILES if (folder / file).is_file()])
    if not contents.files:
        raise Refused(
            "nothing_to_import",
            f"{folder} holds none of {names}",
            "name the folder that holds them",
        )
    for file in contents.files:
        key, read = READERS[file]
        rows = rows_of(folder / file, COLUMNS[file], problems, key, OPTIONAL.get(file, ()))
        read(_counted(file, rows, contents, progress), contents, problems)
    return contents


def _counted(file: str, rows: Rows, contents: FolderContents, progress: Progress) -> Rows:
    number = 0
    for number, row in enumerate(rows, 1):
        if number % PROGRESS_ROWS == 0:
            progress(file, number)
        yield row
    contents.rows += number
    progress(file, number)


def _is_new(
    rows: dict[str, Any], key: str, line: int, file: str, column: str, problems: Problems
) -> bool:
    if key in rows:
        problems.add(file, line, column, f"{key} is on line {rows[key].line} already")
    return key not in rows


def _read_nodes(rows: Rows, contents: FolderContents, problems: Problems) -> None:
    for line, row in rows:
        level, node_id, parent_id, name, account_name, *address = row
        if _is_new(contents.nodes, node_id, line, BILLTO, "id", problems):
            contents.nodes[node_id] = NodeRow(
                line, level, parent_id, name, account_name, postal_address(*address)
            )
    for node_id, node in contents.nodes.items():
        parent = contents.nodes.get(node.parent_id or "")
        if parent is not None:
            check_levels(node_id, node, parent.level, problems)


def check_levels(node_id: str, node: NodeRow, parent_level: str, problems: Problems) -> None:
    """A problem if the parent is not on a higher level than the node."""
    levels: tuple[str, ...] = LEVELS
    if levels.index(parent_level) >= levels.index(node.level):
        parent = f"{node.parent_id} is on the level {parent_level}"
        problems.add(
            BILLTO,
            node.line,
            "parent_id",
            f"{parent} and cannot be above the {node.level} {node_id}",
        )


def postal_address(street: str, city: str, state: str, zip_code: str) -> str:
    """The lines of an address as on an envelope; nine digits are ZIP+4."""
    if zip_code.isascii() and zip_code.isdigit() and len(zip_code) == 9:
        zip_code = f"{zip_code[:5]}-{zip_code[5:]}"
    place = (f"{city}," if city and state else city, state, zip_code)
    return "\n".join(filter(None, (street, " ".join(filter(None, place)))))


def _read_requirements(rows: Rows, contents: FolderContents, problems: Problems) -> None:
    known = contents.requirements
    for line, (requirement_id, *rest) in rows:
        if _is_new(known, requirement_id, line, REQUIREMENTS, "requirement_id", problems):
            known[requirement_id] = RequirementRow(line, *rest)


def _read_rates(rows: Rows, contents: FolderContents, problems: Problems) -> None:
    for line, (requirement_id, time_type, effective_from, bill_rate) in rows:
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


def _read_timesheets(rows: Rows, contents: FolderContents, problems: Problems) -> None:
    for line, row in rows:
        timesheet_id, requirement_id, worker_id, week_ending, work_date, *entry = row
        time_type, hours, worker_name, po_number, billable = entry
        first = contents.timesheets.get(timesheet_id)
        if first is None:
            first = contents.timesheets[timesheet_id] = TimesheetRows(line, worker_id, week_ending)
        first.worker_name = first.worker_name or worker_name
        contents.requirement_lines.setdefault(requirement_id, line)
        if worker_id != first.worker_id:
            message = f"{timesheet_id} is of {first.worker_id} on line {first.line}"
            problems.add(TIMESHEETS, line, "worker_id", f"is {worker_id}, but {message}")
        if week_ending != first.week_ending:
            message = f"{timesheet_id} ends on {first.week_ending} on line {first.line}"
            problems.add(TIMESHEETS, line, "week_ending", f"is {week_ending}, but {message}")
        elif not week_ending - timedelta(days=DAYS_OF_A_WEEK) < work_date <= week_ending:
            problems.add(
                TIMESHEETS,
                line,
                "work_date",
                f"{work_date} is not in the week that ends on {week_ending}",
            )
        first.entries.append(
            TimesheetEntry(
                requirement_id=requirement_id,
                work_date=work_date,
                time_type=time_type,
                hours=hours,
                po_number=po_number,
                billable=billable,
            )
        )


def _read_placements(rows: Rows, contents: FolderContents, problems: Problems) -> None:
    read_placements(rows, contents.placements, problems)


READERS: dict[str, tuple[str, Callable[[Rows, FolderContents, Problems], None]]] = {
    BILLTO: ("id", _read_nodes),
    REQUIREMENTS: ("requirement_id", _read_requirements),
    RATES: ("requirement_id", _read_rates),
    TIMESHEETS: ("timesheet_id", _read_timesheets),
    PLACEMENTS: ("placement_id", _read_placements),
}
"""The column of the id, and the reader of each file."""
