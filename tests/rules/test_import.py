"""Import of CSV files: the values of a row, what is wrong in it and where, what is published and in
which revision.
"""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from services.console.importing.csv_rows import Problems
from services.console.importing.folder import postal_address, read_folder
from services.console.importing.plan import Plan, StoredDocuments, plan_import
from shared.errors import Refused
from shared.events.ats import BilltoChanged, RequirementChanged, TimesheetApproved

TODAY = date(2026, 10, 31)
COMPANY = "acme-us"
FILES = {
    "billto.csv": "level,id,parent_id,name,account_name,address,city,state,zip\n"
    "company,co-1,,Acme Health,ACME,,,,\n"
    "client,cl-1,co-1,Acme West,,,,,\n"
    "office,of-1,cl-1,Acme Brooklyn,,1 Main St,BROOKLYN,NY,112011234\n",
    "requirements.csv": "requirement_id,office_id,job_title,status,position_type,currency\n"
    'req-1,of-1,"Nurse, registered",Filled,Temp,USD\n',
    "bill_rates.csv": "requirement_id,time_type,effective_from,bill_rate\n"
    "req-1,REG,2026-01-01,79.50\nreq-1,WKD,2026-01-01,87.4500\n",
    "timesheets.csv": "timesheet_id,requirement_id,worker_id,week_ending,"
    "work_date,time_type,hours\n"
    "ts-1,req-1,W-1,2026-10-04,2026-09-28,REG,8\n"
    "ts-2,req-1,W-2,2026-10-04,2026-09-29,REG,7.5\n"
    "ts-1,req-1,W-1,2026-10-04,2026-10-03,WKD,4.25\n",
}


def write(folder: Path, **changes: str | None) -> Path:
    """The folder with the four files, some changed (`timesheets=...`) or left out (None)."""
    for name, text in FILES.items():
        text = changes.get(name.removesuffix(".csv"), text)
        (folder / name).unlink(missing_ok=True)
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def planned(
    folder: Path, known: StoredDocuments | None = None, today: date = TODAY
) -> tuple[Plan, list[str]]:
    """The plan and what is wrong, as people read it."""
    problems = Problems()
    plan = plan_import(
        read_folder(folder, problems), known or StoredDocuments(), COMPANY, today, problems
    )
    return plan, [str(problem) for problem in problems.shown]


def taken(plan: Plan, before: StoredDocuments | None = None) -> StoredDocuments:
    """The stored documents after the plan was published."""
    known = before or StoredDocuments()
    known.nodes |= {
        an_id: BilltoChanged.model_validate_json(value)
        for an_id, value in plan.to_publish["billto"]
    }
    known.requirements |= {
        an_id: RequirementChanged.model_validate_json(value)
        for an_id, value in plan.to_publish["requirement"]
    }
    known.timesheets |= {
        an_id: TimesheetApproved.model_validate_json(value)
        for an_id, value in plan.to_publish["timesheet"]
    }
    return known


def test_a_folder_becomes_ats_events(tmp_path: Path) -> None:
    """Rows of one timesheet are one document, wherever they are; an imported row has no
    workflow stamps; rates go with their requirement.
    """
    plan, problems = planned(write(tmp_path))
    known = taken(plan)
    assert not problems
    assert known.nodes["of-1"].address == "1 Main St\nBROOKLYN, NY 11201-1234"
    job = known.requirements["req-1"]
    assert (job.billing_company, job.job_title, job.statuses[0].from_date) == (
        COMPANY,
        "Nurse, registered",
        date(1970, 1, 1),
    )
    assert [(rate.time_type, rate.bill_rate) for rate in job.rates] == [
        ("REG", Decimal("79.50")),
        ("WKD", Decimal("87.45")),
    ]
    sheet = known.timesheets["ts-1"]
    assert sheet.workflow is None
    assert [(entry.work_date.isoformat(), entry.hours) for entry in sheet.entries] == [
        ("2026-09-28", Decimal(8)),
        ("2026-10-03", Decimal("4.25")),
    ]
    assert (plan.new["billto"], plan.new["requirement"], plan.new["timesheet"]) == (3, 1, 2)
    assert json.loads(dict(plan.to_publish["timesheet"])["ts-2"])["entries"][0]["hours"] == "7.5"


def test_the_same_folder_again_publishes_nothing(tmp_path: Path) -> None:
    """Unchanged documents are repeats; values are compared, so 8.00 is 8, a trailing zero of a
    price and the order of rows say nothing.
    """
    known = taken(planned(write(tmp_path))[0])
    header, *rows = FILES["timesheets.csv"].splitlines()
    shuffled = "\n".join([header, *reversed(rows)]).replace(",8", ",8.00") + "\n"
    rates_header, *rates = FILES["bill_rates.csv"].splitlines()
    turned = "\n".join([rates_header, *reversed(rates)]).replace("79.50", "79.5000")
    plan, problems = planned(write(tmp_path, timesheets=shuffled, bill_rates=turned), known)
    assert not problems
    assert plan.records == 0
    assert (
        plan.unchanged["billto"],
        plan.unchanged["requirement"],
        plan.unchanged["timesheet"],
    ) == (3, 1, 2)


def test_a_changed_document_is_the_next_revision(tmp_path: Path) -> None:
    """Changed documents go out as the next revision of their id, whatever revision is stored;
    the others stay at home.
    """
    known = taken(planned(write(tmp_path))[0])
    known.timesheets["ts-2"] = known.timesheets["ts-2"].model_copy(update={"revision": 41})
    plan, _ = planned(
        write(tmp_path, timesheets=FILES["timesheets.csv"].replace("7.5", "7.25")), known
    )
    ((an_id, value),) = plan.to_publish["timesheet"]
    assert (an_id, json.loads(value)["revision"], plan.changed["timesheet"], plan.records) == (
        "ts-2",
        42,
        1,
        1,
    )


def test_a_status_that_changed_counts_from_today(tmp_path: Path) -> None:
    """A requirement closed since does not block its last timesheets: the file has
    no date, so the new status begins today.
    """
    known = taken(planned(write(tmp_path))[0])
    closed = FILES["requirements.csv"].replace("Filled", "Closed")
    known = taken(planned(write(tmp_path, requirements=closed), known)[0], known)
    statuses = [
        (status.from_date.isoformat(), status.status)
        for status in known.requirements["req-1"].statuses
    ]
    assert statuses == [("1970-01-01", "Filled"), ("2026-10-31", "Closed")]
    again, _ = planned(write(tmp_path, requirements=closed), known, today=date(2026, 11, 5))
    assert again.records == 0


def test_what_a_file_does_not_have_stays_as_stored(tmp_path: Path) -> None:
    """New rates without requirements.csv change the rates of the requirement in the database and
    nothing else of it.
    """
    known = taken(planned(write(tmp_path))[0])
    known.requirements["req-1"] = RequirementChanged.model_validate_json(
        known.requirements["req-1"].model_dump_json(exclude={"engagement"})[:-1]
        + ',"engagement":{"po_number":"PO-9"}}'
    )
    known.nodes["of-1"] = known.nodes["of-1"].model_copy(update={"tax_id": "EIN 1"})
    dearer = FILES["bill_rates.csv"].replace("79.50", "81.00")
    plan, problems = planned(
        write(tmp_path, requirements=None, timesheets=None, bill_rates=dearer), known
    )
    assert not problems
    after = taken(plan, known).requirements["req-1"]
    assert (
        after.revision,
        after.engagement.po_number,
        after.rates[0].bill_rate,
        after.job_title,
    ) == (2, "PO-9", Decimal(81), "Nurse, registered")
    assert plan.unchanged["billto"] == 3


def test_a_name_with_a_no_break_space_is_a_name(tmp_path: Path) -> None:
    """Real files hold no-break spaces in names: they count as plain ones."""
    plan, problems = planned(
        write(tmp_path, billto=FILES["billto.csv"].replace("Acme West", "Acme\u00a0 West"))
    )
    assert not problems
    assert taken(plan).nodes["cl-1"].name == "Acme West"


WRONG = {
    "hours": (
        "timesheets",
        "2026-09-29,REG,7.5",
        "2026-09-29,REG,25",
        "timesheets.csv, line 3, hours: '25' is not a number of hours from 0 to 24",
    ),
    "hours with two commas": (
        "timesheets",
        "REG,7.5",
        'REG,"7,5,0"',
        "timesheets.csv, line 3, hours: '7,5,0' is not a number of hours",
    ),
    "day": (
        "timesheets",
        "2026-09-29",
        "2026-02-31",
        "timesheets.csv, line 3, work_date: '2026-02-31' is not a date such as",
    ),
    "week": (
        "timesheets",
        "2026-09-29",
        "2026-10-05",
        "timesheets.csv, line 3, work_date: 2026-10-05 is not in the week that ends on 2026-10-04",
    ),
    "worker": (
        "timesheets",
        "ts-2,req-1,W-2",
        "ts-1,req-1,W-2",
        "timesheets.csv, line 3, worker_id: is W-2, but ts-1 is of W-1 on line 2",
    ),
    "requirement": (
        "timesheets",
        "ts-2,req-1",
        "ts-2,req-9",
        "timesheets.csv, line 3, requirement_id: req-9 is neither in requirements.csv nor in the"
        " database",
    ),
    "cells": (
        "timesheets",
        "ts-2,req-1",
        "ts-2,req-1,x",
        "timesheets.csv, line 3: has 8 cells where the first line names 7 columns",
    ),
    "column": (
        "timesheets",
        "hours",
        "amount",
        "timesheets.csv, line 1, hours: is missing; the columns are timesheet_id",
    ),
    "price": (
        "bill_rates",
        "79.50",
        "-1",
        "bill_rates.csv, line 2, bill_rate: '-1' is not a price such as 79.50",
    ),
    "rate twice": (
        "bill_rates",
        "WKD",
        "REG",
        "bill_rates.csv, line 3, effective_from: req-1 has a rate for REG from 2026-01-01 already",
    ),
    "currency": (
        "requirements",
        "USD",
        "UST",
        "requirements.csv, line 2, currency: 'UST' is not a currency code such as USD or EUR",
    ),
    "office": (
        "requirements",
        "of-1",
        "of-9",
        "requirements.csv, line 2, office_id: of-9 is neither in billto.csv nor in the database",
    ),
    "level": (
        "billto",
        "client,",
        "branch,",
        "billto.csv, line 3, level: 'branch' is not one of company, client, office",
    ),
    "parent": (
        "billto",
        "cl-1,co-1",
        "cl-1,co-9",
        "billto.csv, line 3, parent_id: co-9 is neither in billto.csv nor in the database",
    ),
    "upside down": (
        "billto",
        "co-1,,Acme",
        "co-1,of-1,Acme",
        "billto.csv, line 2, parent_id: of-1 is on the level office and cannot be above the"
        " company co-1",
    ),
    "id twice": (
        "billto",
        "client,cl-1",
        "client,co-1",
        "billto.csv, line 3, id: co-1 is on line 2 already",
    ),
    "id empty": (
        "billto",
        "company,co-1",
        "company,",
        "billto.csv, line 2, id: is empty; it should be an id",
    ),
    "not UTF-8": (
        "billto",
        "Acme West",
        "Acme \udce9",
        "billto.csv, line 3, name: 'Acme \ufffd' is not UTF-8; save the file as CSV UTF-8",
    ),
    "open quotation mark": (
        "billto",
        "company,co-1,,Acme Health,ACME,,,,",
        'company,co-1,,Acme Health,ACME,,,,"',
        "billto.csv, line 2: is no CSV from here on",
    ),
    "text behind a quotation": (
        "billto",
        "Acme West",
        '"Acme" West',
        "billto.csv, line 3: is no CSV from here on",
    ),
    "empty file": (
        "bill_rates",
        FILES["bill_rates.csv"],
        "",
        "bill_rates.csv, line 1: is empty; the first line should name the columns",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_by_file_line_and_column(case: str, tmp_path: Path) -> None:
    """A row error names file, line, column and what the cell should hold; then nothing at all goes
    out.
    """
    file, right, wrong, message = WRONG[case]
    text = FILES[f"{file}.csv"]
    assert text.count(right) >= 1
    write(tmp_path)
    (tmp_path / f"{file}.csv").write_bytes(
        text.replace(right, wrong, 1).encode("utf-8", "surrogateescape")
    )
    plan, problems = planned(tmp_path)
    assert any(problem.startswith(message) for problem in problems), problems
    assert plan.records == 0


def test_a_reference_to_a_wrong_row_is_not_an_error_of_its_own(tmp_path: Path) -> None:
    """One wrong cell is one error, not one for every row below it."""
    _, problems = planned(
        write(tmp_path, billto=FILES["billto.csv"].replace("office,of-1", "offices,of-1"))
    )
    assert problems == [
        "billto.csv, line 4, level: 'offices' is not one of company, client, office"
    ]


def test_all_that_is_wrong_is_counted_and_the_first_fifty_are_shown(tmp_path: Path) -> None:
    """One run names what must be fixed; a file that is wrong throughout does not flood the
    screen.
    """
    rows = "".join(f"ts-{at},req-1,W-1,2026-10-04,2026-09-28,REG,x\n" for at in range(120))
    write(tmp_path, timesheets=FILES["timesheets.csv"].splitlines()[0] + "\n" + rows)
    problems = Problems()
    read_folder(tmp_path, problems)
    assert (problems.count, len(problems.shown), problems.shown[0].line) == (120, 50, 2)


def test_a_requirement_of_another_billing_company_is_refused(tmp_path: Path) -> None:
    """An import for the wrong billing company would move a client's requirements: it is refused
    by line.
    """
    known = taken(planned(write(tmp_path))[0])
    known.requirements["req-1"] = known.requirements["req-1"].model_copy(
        update={"billing_company": "other-eu"}
    )
    _, problems = planned(write(tmp_path), known)
    assert problems == [
        "requirements.csv, line 2, requirement_id: req-1 is a requirement of the billing company"
        " other-eu, not of acme-us"
    ]


def test_a_stored_adjustment_is_no_original(tmp_path: Path) -> None:
    """An adjustment belongs to one original for good."""
    _, problems = planned(write(tmp_path), StoredDocuments(adjustments={"ts-2": "ts-0"}))
    assert problems == [
        "timesheets.csv, line 3, timesheet_id: ts-2 is stored as an adjustment of ts-0, not as an"
        " original"
    ]


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    """Wrong folder: a message, not an empty success."""
    with pytest.raises(Refused, match="holds none of billto"):
        read_folder(tmp_path, Problems())
    with pytest.raises(Refused, match="is not a folder"):
        read_folder(tmp_path / "missing", Problems())


@pytest.mark.parametrize(
    ("cells", "address"),
    [
        (("1 Main St", "Brooklyn", "NY", "11201"), "1 Main St\nBrooklyn, NY 11201"),
        (("Keizersgracht 1", "Amsterdam", "", "1016 DX"), "Keizersgracht 1\nAmsterdam 1016 DX"),
        (("", "Brooklyn", "NY", ""), "Brooklyn, NY"),
        (("", "", "", ""), ""),
    ],
)
def test_an_address_is_written_as_on_an_envelope(
    cells: tuple[str, str, str, str], address: str
) -> None:
    """Street, then city, state and zip on one line; what is missing leaves no comma behind."""
    assert postal_address(*cells) == address


def test_timesheets_may_have_names_purchase_orders_and_time_that_is_not_billable(
    tmp_path: Path,
) -> None:
    """These columns need not exist; the name may be on one row, and a wrong cell is named."""
    header = FILES["timesheets.csv"].splitlines()[0] + ",worker_name,po,billable\n"
    rows = (
        "ts-1,req-1,W-1,2026-10-04,2026-09-28,REG,8,Ann Lee,PO-1,\n"
        "ts-1,req-1,W-1,2026-10-04,2026-09-29,REG,3,,,no\n"
    )
    plan, problems = planned(write(tmp_path, timesheets=header + rows))
    assert not problems
    ((_, value),) = plan.to_publish["timesheet"]
    sheet = TimesheetApproved.model_validate_json(value)
    assert sheet.worker_name == "Ann Lee"
    assert [(entry.po_number, entry.billable) for entry in sheet.entries] == [
        ("PO-1", True),
        ("", False),
    ]
    _, problems = planned(write(tmp_path, timesheets=header + rows.replace(",no", ",maybe")))
    assert problems == ["timesheets.csv, line 3, billable: 'maybe' is not yes or no"]
