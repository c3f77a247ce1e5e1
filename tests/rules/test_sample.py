"""The sample agency's event files: what is committed is what its generator writes, and says what
its README promises.
"""

import json
from datetime import date

from pydantic import ValidationError

from services.console.sample import month
from shared.events.ats import (
    BilltoChanged,
    ChargeAdded,
    PlacementCreated,
    RequirementChanged,
    TimesheetApproved,
)
from shared.events.commands import OPERATOR_COMMAND

READERS = {
    "operator-commands": OPERATOR_COMMAND.validate_json,
    "billto-changed": BilltoChanged.model_validate_json,
    "timesheet-approved": TimesheetApproved.model_validate_json,
    "requirement-changed": RequirementChanged.model_validate_json,
    "placement-created": PlacementCreated.model_validate_json,
    "charge-added": ChargeAdded.model_validate_json,
}


def test_the_files_are_what_the_generator_writes() -> None:
    """Generated things are regenerated and compared."""
    written = {
        path.name: path.read_text(encoding="utf-8").splitlines()
        for path in sorted(month.FOLDER.glob("*.jsonl"))
    }
    assert written == month.files()


def test_every_line_but_one_can_be_read() -> None:
    """One bad message, and only one: the line that was cut off."""
    bad = []
    for name, lines in month.files().items():
        for line in lines:
            try:
                READERS[name[3:].removesuffix(".jsonl")](line)
            except ValidationError:
                bad.append(line)
    assert bad == [month.CUT_SHORT]


def test_only_the_early_timesheets_are_after_the_cut_off() -> None:
    """A month: weeks up to the cut-off date, and the two timesheets of the week after it."""
    sheets = [
        json.loads(line)
        for line in month.files()["03-timesheet-approved.jsonl"]
        if line != month.CUT_SHORT
    ]
    late = [
        (sheet["worker_id"], date.fromisoformat(sheet["week_ending"]))
        for sheet in sheets
        if sheet["week_ending"] > str(month.CUT_OFF)
    ]
    assert sorted(late) == sorted(month.EARLY)
