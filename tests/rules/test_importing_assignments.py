"""Assignments from a CSV file: each line a command, and what is wrong by line and column."""

from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.console.actions.commands import new_command
from services.console.importing.assignments import ASSIGNMENTS, read_assignments
from shared.events.commands import SetAssignment

NEW = partial(new_command, actor="pat", reason="")
GIVEN = {
    "assignment_id": "A-1",
    "billing_company": "acme-us",
    "node": "client-1",
    "item": "RENT",
    "monthly": "31",
}


def read(folder: Path, **cells: str) -> tuple[list[Any], list[str]]:
    """Return the commands of a file of one line, and its problems."""
    values = GIVEN | cells
    path = folder / "assignments.csv"
    line = ",".join(f'"{values.get(column, "")}"' for column in ASSIGNMENTS)
    path.write_text(",".join(ASSIGNMENTS) + "\n" + line + "\n")
    lines, problems = read_assignments(path, NEW)
    return [made for _, made in lines], [str(each) for each in problems.shown]


def test_a_line_sets_an_assignment(tmp_path: Path) -> None:
    """Every column has its field; an empty cell leaves it out."""
    cells = {"price": "500,00", "currency": "USD", "from": "2026-01-31", "plan": "1@1 1@31"}
    ((made,), problems) = read(tmp_path, **cells, until="2026-06-30", po="PO-1", text="Office 12")
    assert isinstance(made, SetAssignment)
    assert problems == []
    assert (made.monthly_day, made.from_date, made.until_date) == (
        31,
        date(2026, 1, 31),
        date(2026, 6, 30),
    )
    assert (str(made.price), made.po_number, made.text) == ("500.00", "PO-1", "Office 12")
    assert made.plan is not None
    assert [part.day for part in made.plan] == [1, 31]
    ((made,), _) = read(tmp_path, monthly="", dates="2026-03-01, 2026-09-15")
    assert made.dates == (date(2026, 3, 1), date(2026, 9, 15))
    ((made,), _) = read(tmp_path, monthly="", quarterly="15")
    assert made.quarterly_day == 15
    ((made,), _) = read(tmp_path, monthly="", on="2026-03-01")
    assert made.on_date == date(2026, 3, 1)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"monthly": "32"}, "monthly"),
        ({"monthly": "0"}, "monthly"),
        ({"monthly": "", "dates": "2026-02-30"}, "is not a date"),
        ({"on": "2026-03-01"}, "give one of on_date, monthly_day, quarterly_day and dates"),
        ({"price": "500"}, "give price and currency together"),
        ({"price": "1,250", "currency": "USD"}, "may be"),
        ({"plan": "half@1"}, "half@1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, cells: dict[str, str], expected: str) -> None:
    """Nothing of the file is sent then."""
    made, problems = read(tmp_path, **cells)
    assert made == []
    assert expected in problems[0]
