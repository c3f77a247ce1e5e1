"""Placements in an import folder: fees by line, what is wrong in them, and their next revision."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from services.console.importing.csv_rows import Problems
from services.console.importing.folder import read_folder
from services.console.importing.placements import PLACEMENT_COLUMNS
from services.console.importing.plan import Plan, StoredDocuments, plan_import
from shared.events.ats import PlacementCreated, RequirementChanged
from tests.builders import COMPANY

HEADER = ",".join(list(PLACEMENT_COLUMNS)[:16])
"""All columns but the last, which a file need not have."""
WHOLE = "PL-1,req-1,W-1,2026-03-02,,,100000,,USD,,hire,,20,,50@1 50@90,PO-1"
BONUS = "PL-1,req-1,W-1,2026-03-02,,,100000,,USD,bonus,signing,500,,,,"
KNOWN = RequirementChanged(
    requirement_id="req-1", revision=1, billing_company=COMPANY, office_id="of-1", currency="USD"
)


def planned(
    folder: Path, *rows: str, known: PlacementCreated | None = None
) -> tuple[Plan, list[str]]:
    """The plan for a file with these rows, and what is wrong."""
    (folder / "placements.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    problems = Problems()
    stored = StoredDocuments(requirements={"req-1": KNOWN})
    if known is not None:
        stored.placements["PL-1"] = known
    contents = read_folder(folder, problems)
    plan = plan_import(contents, stored, COMPANY, date(2026, 10, 31), problems)
    return plan, [str(problem) for problem in problems.shown]


def placement_of(plan: Plan) -> PlacementCreated:
    """The one placement that is to be published."""
    ((_, value),) = plan.to_publish["placement"]
    return PlacementCreated.model_validate_json(value)


def test_lines_of_a_placement_are_its_fees(tmp_path: Path) -> None:
    """The fee is named by its item where it has no id of its own."""
    plan, problems = planned(tmp_path, WHOLE, BONUS)
    assert not problems
    placement = placement_of(plan)
    assert (placement.salary, placement.start_date) == (Decimal(100000), date(2026, 3, 2))
    first, second = placement.fees
    assert (first.fee_id, first.percent, first.po_number) == ("hire", Decimal(20), "PO-1")
    assert first.plan is not None
    assert [(part.share, part.day) for part in first.plan] == [(Decimal(50), 1), (Decimal(50), 90)]
    assert (second.fee_id, second.item_id, second.amount) == ("bonus", "signing", Decimal(500))


def test_columns_that_are_not_needed_may_be_missing(tmp_path: Path) -> None:
    """Four columns are needed; a missing one is read as empty cells, and a name is kept."""
    (tmp_path / "placements.csv").write_text(
        "placement_id,requirement_id,worker_id,start_date,item,worker_name\n"
        "PL-1,req-1,W-1,2026-03-02,hire,Ann Lee\n"
    )
    problems = Problems()
    contents = read_folder(tmp_path, problems)
    stored = StoredDocuments(requirements={"req-1": KNOWN})
    plan = plan_import(contents, stored, COMPANY, date(2026, 10, 31), problems)
    assert not problems.shown
    named = placement_of(plan)
    assert (named.worker_name, [fee.item_id for fee in named.fees]) == ("Ann Lee", ["hire"])
    again, _ = planned(tmp_path, WHOLE, known=named)
    assert placement_of(again).worker_name == "Ann Lee"
    (tmp_path / "placements.csv").write_text("placement_id,requirement_id\n")
    read_folder(tmp_path, problems)
    assert {problem.column for problem in problems.shown} == {"worker_id", "start_date"}


def test_a_leaver_is_the_next_revision_and_a_repeat_is_none(tmp_path: Path) -> None:
    """What is stored is compared by value."""
    stored = placement_of(planned(tmp_path, WHOLE)[0]).model_copy(update={"revision": 4})
    assert planned(tmp_path, WHOLE, known=stored)[0].records == 0
    plan, _ = planned(tmp_path, WHOLE.replace("03-02,,", "03-02,2026-05-01,left"), known=stored)
    assert (placement_of(plan).revision, placement_of(plan).end_reason) == (5, "left")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([WHOLE, WHOLE], "line 3, fee_id: PL-1 has a fee hire already"),
        ([WHOLE, BONUS.replace("W-1", "W-2")], "line 3, worker_id: is W-2, but PL-1 has W-1 on"),
        ([WHOLE.replace("req-1", "req-9")], "line 2, requirement_id: req-9 is neither in"),
        ([WHOLE.replace("hire", "")], "line 2, item: is empty, but the line has other fields"),
        ([WHOLE.replace("50@1 50@90", "0@1")], "line 2: no share of the pay plan is above 0"),
        ([WHOLE.replace("50@1 50@90", "half")], "line 2, plan: 'half' is not SHARE@DAY"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_published(
    tmp_path: Path, rows: list[str], expected: str
) -> None:
    """By file, line and column."""
    plan, problems = planned(tmp_path, *rows)
    assert plan.records == 0
    assert expected in problems[0] and problems[0].startswith("placements.csv, ")
