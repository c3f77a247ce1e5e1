"""Reads a CSV file of which each line becomes one command, with everything that is wrong, by line.

Only the key column must exist; a missing column, and an empty cell, leave a field out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.console.importing.cells import Read
from services.console.importing.csv_rows import Problems, rows_of
from services.console.importing.dialect import UnreadableFile, open_csv
from shared.events.commands import AnyCommand


@dataclass(frozen=True, slots=True)
class FileColumn:
    """A column: how a cell is read (None leaves the field out), and what it holds, for a person.

    `field` is the field of the command, if it has another name than the column.
    """

    read: Read
    explanation: str
    field: str = ""


Columns = Mapping[str, FileColumn]
CommandLines = list[tuple[int, AnyCommand]]


def read_command_lines(
    path: Path, columns: Columns, key: str, new_command: Callable[..., AnyCommand]
) -> tuple[CommandLines, Problems]:
    """The command of each line, made by `new_command(**fields)`, and all that is wrong."""
    problems = Problems()
    found: CommandLines = []
    for line, given in read_rows(path, columns, key, problems):
        try:
            found.append((line, new_command(**given)))
        except ValidationError as error:
            for each in error.errors():
                where = ".".join(str(part) for part in each["loc"])
                problems.add(path.name, line, where, each["msg"])
    if not found and not problems.count:
        problems.add(path.name, 1, "", "has no rows below its columns")
    return found, problems


def read_rows(
    path: Path, columns: Columns, key: str, problems: Problems
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and fields of every row that can be read; the others are problems.

    An unknown column is one problem, and then there are no rows.
    """
    named = _named_columns(path, columns, key, problems)
    if problems.count:
        return
    for line, values in rows_of(path, named, problems, key):
        cells = zip(named, values, strict=True)
        yield (
            line,
            {
                columns[column].field or column: value
                for column, value in cells
                if value is not None
            },
        )


def _named_columns(path: Path, columns: Columns, key: str, problems: Problems) -> dict[str, Read]:
    """The columns that the first line names. An unknown column is a problem: it may be misspelt."""
    reads = {column: each.read for column, each in columns.items()}
    try:
        with open_csv(path, reads) as (dialect, _):
            places = {column: dialect.find(column) for column in reads}
    except UnreadableFile:
        return reads  # `rows_of` names what is wrong
    found = {at for each in places.values() for at in each}
    for at, column in enumerate(dialect.names):
        if column and at not in found:
            problems.add(
                path.name,
                dialect.header_line,
                column,
                f"is no column of this file; the columns are {', '.join(columns)}",
            )
    return {column: read for column, read in reads.items() if places[column] or column == key}
