"""Reads the steps of an approval workflow from a CSV file, with everything that is wrong, by line.

Each line is an approver of a step. Lines with the same step that follow each other are one step:
the first has its order, its number of mandatory approvers and its conditions.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.console.importing.cells import amount, currency, identifier, optional
from services.console.importing.command_lines import Columns, FileColumn, read_rows
from services.console.importing.csv_rows import Problems
from shared.events.commands.workflows import (
    MOST_APPROVERS,
    MOST_STEPS,
    Approver,
    WorkflowStep,
    step_faults,
)

_APPROVER: TypeAdapter[str] = TypeAdapter(Approver)
WITH = "with"
OF_STEP = ("mandatory", "at_least", "department", "location")
"""The columns of a step, which its first line has."""


def _approver(cell: str) -> str:
    """Read an approver: role:NAME, person:NAME or field:NAME."""
    if not cell:
        raise ValueError("is empty; it should be role:NAME, person:NAME or field:NAME")
    try:
        return _APPROVER.validate_python(cell)
    except ValidationError as error:
        raise ValueError(f"{cell!r} {error.errors()[0]['msg']}") from None


def _order(cell: str) -> str:
    if cell not in ("after", WITH):
        raise ValueError(f"{cell!r} is neither after nor with")
    return cell


def _number(cell: str) -> int:
    if not (cell.isascii() and cell.isdigit() and 0 < int(cell) <= MOST_APPROVERS):
        raise ValueError(f"{cell!r} is no number of approvers, such as 1")
    return int(cell)


def _amounts(cell: str) -> list[dict[str, Any]]:
    """Read amounts with currencies: 10000.00 USD; 9000.00 EUR."""
    found: list[dict[str, Any]] = []
    for part in _names(cell):
        figure, _, code = part.rpartition(" ")
        if not figure:
            raise ValueError(f"{part!r} is not an amount with its currency, such as 10000.00 USD")
        value: Decimal = amount(figure.strip())
        found.append({"amount": value, "currency": currency(code)})
    return found


def _names(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


STEPS: Columns = {
    "step": FileColumn(identifier, "name of the step; several lines: its approvers"),
    "order": FileColumn(
        optional(_order), "after the step before it, or with it; empty: after, or the same step"
    ),
    "approver": FileColumn(
        _approver, "role:controller, person:ann or field:manager (of the engagement)"
    ),
    "mandatory": FileColumn(
        optional(_number), "how many of its approvers must approve; empty: all"
    ),
    "at_least": FileColumn(
        optional(_amounts), "applies from this total before tax: 10000.00 USD; 9000.00 EUR"
    ),
    "department": FileColumn(
        optional(_names), "applies to these departments of engagements, with ; between"
    ),
    "location": FileColumn(
        optional(_names), "applies to these locations of engagements, with ; between"
    ),
}


def read_steps(path: Path) -> tuple[list[WorkflowStep], Problems]:
    """The steps of a file in order, and all that is wrong in it."""
    problems = Problems()
    steps: list[dict[str, Any]] = []
    first_lines: list[int] = []
    for line, row in read_rows(path, STEPS, "step", problems):
        if "approver" not in row:
            problems.add(path.name, line, "approver", "is missing; each line names an approver")
        elif steps and steps[-1]["step"] == row["step"]:
            _add_approver(path.name, line, row, steps[-1], problems)
        else:
            first_lines.append(line)
            steps.append(
                {
                    "step": row["step"],
                    "order": row.get("order", "after"),
                    "approvers": [row["approver"]],
                    "mandatory": row.get("mandatory"),
                    "at_least": row.get("at_least", ()),
                    "departments": row.get("department", ()),
                    "locations": row.get("location", ()),
                }
            )
    if not steps and not problems.count:
        problems.add(path.name, 1, "", "has no rows below its columns")
    if len(steps) > MOST_STEPS:
        problems.add(path.name, first_lines[MOST_STEPS], "step", f"is step {MOST_STEPS + 1}")
    return _checked(path.name, steps, first_lines, problems), problems


def _add_approver(
    file: str, line: int, row: dict[str, Any], step: dict[str, Any], problems: Problems
) -> None:
    """Add a further approver to a step; the step's own columns are on its first line."""
    step["approvers"].append(row["approver"])
    if row.get("order", WITH) != WITH:
        problems.add(file, line, "order", f"is after, inside step {row['step']}; write with")
    for column in OF_STEP:
        if column in row:
            message = f"belongs on the first line of step {row['step']}; leave it empty here"
            problems.add(file, line, column, message)


def _checked(
    file: str, steps: list[dict[str, Any]], first_lines: list[int], problems: Problems
) -> list[WorkflowStep]:
    """The steps as a command has them; what is wrong with one, or beside the others, by line."""
    found = []
    for line, step in zip(first_lines, steps, strict=True):
        try:
            found.append(WorkflowStep.model_validate(step))
        except ValidationError as error:
            for each in error.errors():
                problems.add(file, line, str(each["loc"][0]), each["msg"])
    if len(found) == len(steps):
        for fault in step_faults(found):
            line = first_lines[fault.position]
            problems.add(file, line, COLUMN_OF.get(fault.field, fault.field), fault.message)
    return found


COLUMN_OF = {"approvers": "approver"}
"""Columns with another name than the field of the step."""
