"""The steps of an approval workflow from a CSV file, and what is wrong in one, by line."""

from pathlib import Path

import pytest

from services.console.importing.workflows import read_steps

HEADER = "step,order,approver,mandatory,at_least,department,location\n"


def read(folder: Path, text: str) -> tuple[list[dict[str, object]], list[str]]:
    """Return the steps of a file without what is not set, and its problems."""
    path = folder / "steps.csv"
    path.write_text(text)
    steps, problems = read_steps(path)
    return [each.model_dump(mode="json", exclude_defaults=True) for each in steps], [
        str(each) for each in problems.shown
    ]


def test_lines_of_one_step_are_its_approvers(tmp_path: Path) -> None:
    """Two steps, the second with two approvers of whom one is mandatory, from two amounts."""
    steps, problems = read(
        tmp_path,
        HEADER
        + "head,after,field:department_head,,,,\n"
        + "controller,,role:controller,1,10000.00 USD; 9000.00 EUR,Sales;Legal,Boston\n"
        + "controller,with,person:ann,,,,\n"
        + "legal,with,person:lea,,,,\n",
    )
    assert problems == []
    assert steps == [
        {"step": "head", "approvers": ["field:department_head"]},
        {
            "step": "controller",
            "approvers": ["role:controller", "person:ann"],
            "mandatory": 1,
            "at_least": [
                {"amount": "10000", "currency": "USD"},
                {"amount": "9000", "currency": "EUR"},
            ],
            "departments": ["Sales", "Legal"],
            "locations": ["Boston"],
        },
        {"step": "legal", "order": "with", "approvers": ["person:lea"]},
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", "line 1: has no rows below its columns"),
        ("one,with,role:approver,,,,", "line 2, order: the first step has no step before it"),
        ("one,later,role:approver,,,,", "line 2, order: 'later' is neither after nor with"),
        ("one,,ann,,,,", "line 2, approver: 'ann' is none of role:NAME, person:NAME"),
        ("one,,role:king,,,,", "line 2, approver: 'role:king' names no role: use one of viewer"),
        ("one,,,,,,", "line 2, approver: is empty; it should be role:NAME"),
        ("one,,role:approver,0,,,", "line 2, mandatory: '0' is no number of approvers, such as 1"),
        ("one,,role:approver,2,,,", "line 2, mandatory: 2 must approve step one, which has 1"),
        ("one,,role:approver,,10000,,", "line 2, at_least: '10000' is not an amount with its cur"),
        ("one,,role:approver,,1 XXY,,", "line 2, at_least: 'XXY' is not a currency code"),
        ("one,,role:approver,,1 USD; 2 USD,,", "line 2, at_least: step one has two amounts in one"),
        (
            "one,,role:approver,,,,\none,,person:ann,1,,,",
            "line 3, mandatory: belongs on the first line of step one; leave it empty here",
        ),
        (
            "one,,role:approver,,,,\none,after,person:ann,,,,",
            "line 3, order: is after, inside step one; write with",
        ),
        (
            "one,,role:approver,,,,\none,,role:approver,,,,",
            "line 2, approver: an approver of step one is named twice",
        ),
        (
            "one,,role:approver,,,,\ntwo,,person:ann,,,,\none,,person:ben,,,,",
            "line 4, step: one is the name of an earlier step: give each step its own",
        ),
    ],
)
def test_what_is_wrong_is_named_by_line(tmp_path: Path, lines: str, expected: str) -> None:
    """A cell by itself, a line inside its step, and a step beside the others."""
    _, problems = read(tmp_path, HEADER + lines)
    assert len(problems) == 1 and expected in problems[0], problems


def test_a_column_that_does_not_exist(tmp_path: Path) -> None:
    """A misspelt column is a problem; columns that are not needed may be missing."""
    assert "is no column of this file" in read(tmp_path, "step,aprover\none,role:approver\n")[1][0]
    steps, problems = read(tmp_path, "step,approver\none,role:approver\n")
    assert (len(steps), problems) == (1, [])
    _, problems = read(tmp_path, "step,order\none,after\n")
    assert problems == ["steps.csv, line 2, approver: is missing; each line names an approver"]
