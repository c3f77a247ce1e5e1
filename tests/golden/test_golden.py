"""The code computes what it computed when the golden files were recorded; the comparator can fail.

`python -m tests.golden.compare --all` compares everything outside of pytest.
"""

import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.golden.compare import (
    EVERY_TENTH,
    Renames,
    compare_agency,
    compare_histories,
    compare_sample,
    differences,
    shown,
    text_differences,
)
from tests.golden.files import SAMPLE, read
from tests.golden.inputs import AGENCY_DATA, random_histories

NO_DATA = f"the agency's files are not at {AGENCY_DATA}: set BACKOFFICE_TEST_DATA"


@pytest.fixture(autouse=True)
def _restored_today() -> Iterator[None]:
    """A replay puts dates in the place of today; the next test has its own again."""
    before = os.environ.pop("BACKOFFICE_TODAY", None)
    yield
    os.environ.pop("BACKOFFICE_TODAY", None)
    if before is not None:
        os.environ["BACKOFFICE_TODAY"] = before


def test_the_sample_month_is_billed_as_recorded(database: str) -> None:
    """Documents, lines, numbers, statuses, CSV, UBL and PDF of the sample month are the recorded
    ones."""
    reported = compare_sample(database)
    assert not reported, shown(reported)


@pytest.mark.slow
def test_every_tenth_history_ends_as_recorded(database: str) -> None:
    """The recorded messages of 30 random histories lead to the recorded values."""
    reported = compare_histories(database, EVERY_TENTH)
    assert not reported, shown(reported)


def test_histories_can_be_recorded(database: str) -> None:
    """Values that change on purpose are recorded anew: what sets up, and histories of steps."""
    setup, histories = random_histories(database, 2, 2)
    assert len(histories) == 2
    assert all(steps for steps in (setup, *histories))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_every_history_ends_as_recorded(database: str) -> None:
    """The recorded messages of all 300 random histories lead to the recorded values."""
    reported = compare_histories(database)
    assert not reported, shown(reported)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not AGENCY_DATA.is_dir(), reason=NO_DATA)
def test_nine_years_of_an_agency_are_billed_as_recorded(database: str) -> None:
    """The import publishes the recorded messages, and one invoice of 9,727 lines comes of them."""
    reported = compare_agency(database)
    assert not reported, shown(reported)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """Tables and texts of the sample month."""
    _, tables, texts = read(SAMPLE)
    return tables | texts


def test_a_changed_amount_is_named(golden: dict[str, Any]) -> None:
    """One cent more on one document is one difference: table, document, column, both values."""
    found = copy.deepcopy(golden["tables"])
    at = found["invoice"]["columns"].index("total")
    row = next(row for row in found["invoice"]["rows"] if row[1] == "HL-00001")
    assert row[at] == "12430.09"
    row[at] = "12430.1"
    reported = differences(golden["tables"], found, Renames())
    assert reported == ["invoice harbor-us HL-00001: total was '12430.09', is '12430.1'"]


def test_a_row_too_few_and_one_too_many_are_named(golden: dict[str, Any]) -> None:
    """A line that is missing and a line that was never there are two differences."""
    found = copy.deepcopy(golden["tables"])
    row = found["invoice line"]["rows"].pop()
    held = found["held document"]["rows"]
    held.append(["timesheet", "T-NEW", *held[0][2:]])
    reported = differences(golden["tables"], found, Renames())
    assert len(reported) == 2
    assert reported[0].startswith("held document timesheet T-NEW: was not there")
    assert reported[1].startswith(f"invoice line {row[0]} {row[1]} {row[2]}: is missing")


def test_a_changed_word_in_a_file_is_named(golden: dict[str, Any]) -> None:
    """The file, the line, and the line before and after."""
    name = "harbor-us HL-00001 pdf HL-00001.pdf"
    found = golden["texts"] | {name: golden["texts"][name].replace("Net 30 days", "Net 31 days")}
    (reported,) = text_differences(golden["texts"], found, Renames())
    assert reported.startswith(
        f"file {name}, line 17:\n    -Terms Net 30 days\n    +Terms Net 31 days"
    )


def test_a_renamed_code_is_no_difference(golden: dict[str, Any]) -> None:
    """Codes and phrases that were renamed on purpose are in a table, and only there."""
    found = copy.deepcopy(golden["tables"])
    for row in found["held document"]["rows"]:
        row[-1] = row[-1].replace("not_approved", "approval_missing")
    for name in ("source document", "hold event"):
        for row in found[name]["rows"]:
            row[:] = ["approval_missing" if cell == "not_approved" else cell for cell in row]
    renames = Renames({"not_approved": "approval_missing"}, {"BILL TO": "INVOICE TO"})
    assert differences(golden["tables"], found, Renames())
    assert not differences(golden["tables"], found, renames)
    texts = {name: text.replace("BILL TO", "INVOICE TO") for name, text in golden["texts"].items()}
    assert text_differences(golden["texts"], texts, Renames())
    assert not text_differences(golden["texts"], texts, renames)
