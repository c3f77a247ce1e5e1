"""Charges from a CSV file: values, and cells that could be read in two ways."""

from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from services.console.actions.commands import new_command
from services.console.importing.charges import read_charges
from shared.events.commands import AddCharge
from tests.builders import COMPANY

NEW = partial(new_command, actor="pat", reason="")
COMMAS = 'charge_id,node,item,quantity,service_date\nC-1,cl-1,TRAVEL,"{}",2026-03-04\n'
SEMICOLONS = COMMAS.replace(",", ";")


def quantity_or_problem(folder: Path, text: str) -> Decimal | str:
    """Return the quantity of the one line of a file, or what is wrong with it."""
    path = folder / "charges.csv"
    path.write_text(text)
    lines, problems = read_charges(path, NEW, COMPANY)
    if problems.shown:
        return str(problems.shown[0])
    ((_, command),) = lines
    assert isinstance(command, AddCharge)
    return command.quantity


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        (COMMAS.format("2"), "2"),
        (COMMAS.format("1,5"), "1.5"),
        (COMMAS.format("1.250"), "1.25"),
        (COMMAS.format("1,250.5"), "1250.5"),
        (SEMICOLONS.format("1.250,5"), "1250.5"),
    ],
)
def test_a_quantity_that_can_be_read_in_one_way_is(
    tmp_path: Path, text: str, quantity: str
) -> None:
    """Decimal commas and separators of thousands are read as those of prices are."""
    assert quantity_or_problem(tmp_path, text) == Decimal(quantity)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (COMMAS.format("1,250"), "'1,250' may be 1.250 or 1250; write 1.2500 or 1250"),
        (SEMICOLONS.format("1.250"), "'1.250' may be 1.250 or 1250"),
        (COMMAS.format("-1,250"), "'-1,250' may be -1.250 or -1250"),
        (COMMAS.format("-2"), "quantity: "),
    ],
)
def test_a_quantity_is_not_guessed(tmp_path: Path, text: str, expected: str) -> None:
    """1,250 is 1.25 to some and 1250 to others."""
    problem = quantity_or_problem(tmp_path, text)
    assert isinstance(problem, str)
    assert problem.startswith("charges.csv, line 2") and expected in problem
