"""Names, timesheets, logo and long documents on paper, without a database."""

import base64
import io
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from PIL import Image
from pydantic import ValidationError
from pypdf import PdfReader

from shared.errors import Refused
from shared.events.commands import SetBillingCompany
from shared.render import pdf_document
from shared.render.pdf import appended, check_logo, timesheets_pdf
from shared.render.printed import TABLE_LINES, printed_document
from shared.render.timesheets import printed_timesheets
from shared.terms import ClosedTimesheet, Names, RequirementNames, TimesheetTime, credit_reason
from tests.rules.test_render import BUYER, SELLER, a_document, a_line

WEEK = date(2026, 3, 8)
NAMES = Names(
    {"W-1": "Maya Torres", "W-10": "Noah Price"},
    {"req-1": RequirementNames("Nurse", "REQ-4711", "Dr. Berg", "CU-8841")},
)


def picture() -> bytes:
    """A small PNG."""
    out = io.BytesIO()
    Image.new("RGB", (60, 20), "blue").save(out, "PNG")
    return out.getvalue()


def sheet(*times: TimesheetTime, worker_id: str = "W-1") -> ClosedTimesheet:
    """A worker's week that Kim Lee approved."""
    return ClosedTimesheet("T-1", "T-1a", worker_id, WEEK, "2026-03-09", "Kim Lee", times)


def a_day(back: int, hours: str = "8", *, billable: bool = True) -> TimesheetTime:
    """Time so many days before the week ending."""
    return TimesheetTime("req-1", WEEK - timedelta(days=back), "REG", Decimal(hours), billable)


@pytest.mark.parametrize(
    ("worker_id", "description", "printed"),
    [
        ("W-1", "Nurse · W-1 · REG", "Nurse · Maya Torres · REG"),
        ("W-10", "Nurse · W-10 · REG", "Nurse · Noah Price · REG"),
        ("W-2", "Nurse · W-2 · REG", "Nurse · W-2 · REG"),
        ("W-1", "W-1", "Maya Torres"),
        ("W-1", "Bonus of W-1", "Bonus of W-1"),
    ],
)
def test_a_name_stands_in_place_of_the_id(worker_id: str, description: str, printed: str) -> None:
    """Only a whole part of the description is the id; an unknown worker keeps it."""
    assert NAMES.described(a_line(worker_id=worker_id, description=description)) == printed


def test_what_all_lines_share_is_printed_once() -> None:
    """References of one requirement are facts of the document; of two, parts of the lines."""
    alike = [a_line(1), a_line(2)]
    shared = printed_document(a_document(alike, names=NAMES), alike)
    assert ("Requirement", "REQ-4711") in shared["facts"]
    assert not any("REQ-4711" in row[2] for row in shared["rows"])
    different = [a_line(1), a_line(2, requirement_id="req-2", project="Zeus")]
    different_facts = printed_document(a_document(different, names=NAMES), different)
    assert not any(label in ("Requirement", "Project") for label, _ in different_facts["facts"])
    assert "requirement REQ-4711 · ordered by Dr. Berg" in different_facts["rows"][0][2]
    assert [
        ("project Apollo" in row[2], "project Zeus" in row[2]) for row in different_facts["rows"]
    ] == [
        (True, False),
        (False, True),
    ]


def test_a_timesheet_is_a_grid_of_its_days() -> None:
    """Hours of a day are added up; what is not billable has a row of its own; days outside the
    week have a grid of theirs; the adjustment that counts is named beside its original.
    """
    document = a_document([a_line()], names=NAMES)
    times = (a_day(6, "7.5"), a_day(6, "0.25"), a_day(2, "3", billable=False), a_day(8, "2"))
    (printed,) = printed_timesheets(document, [sheet(*times)])["timesheets"]
    assert printed["worker"] == "Maya Torres"
    assert printed["facts"] == (
        "week ending 2026-03-08 · T-1 · T-1a · approved 2026-03-09 by Kim Lee"
    )
    before, week = printed["weeks"]
    assert (
        before["days"][-2:] == ["Sat 02-28", "Sun 03-01"]
        and before["rows"][0]["hours"][-2] == "2.00"
    )
    assert [
        (row["label"], row["hours"][0], row["hours"][4], row["total"]) for row in week["rows"]
    ] == [
        ("REG · REQ-4711", "7.75", "–", "7.75"),
        ("REG · REQ-4711 · not billable", "–", "3.00", "3.00"),
    ]
    (cancelled,) = printed_timesheets(document, [sheet()])["timesheets"]
    assert cancelled["facts"].endswith("cancelled: no time") and not cancelled["weeks"]


def test_a_file_of_timesheets_has_all_of_them_and_the_same_bytes() -> None:
    """Very many go into a file of their own, whatever the buyer wants."""
    document = a_document([a_line()], names=NAMES, buyer=replace(BUYER, timesheets="appendix"))
    sheets = [sheet(a_day(6), worker_id=f"W-{at}") for at in range(40)]
    made = timesheets_pdf(document, sheets, picture())
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(made)).pages)
    assert all(f"W-{at}" in text for at in range(11, 40)) and "Maya Torres" in text
    assert made == timesheets_pdf(document, sheets, picture())
    assert appended(document, sheets) and not appended(document, sheets * 51)
    assert not appended(replace(document, buyer=replace(BUYER, timesheets="file")), sheets)


def test_a_long_document_loses_no_line_and_no_head() -> None:
    """Lines without a table: every number, amount and the heads on each page with lines; a name of
    two lines keeps its figures; the appendix follows; the bytes are the same again.
    """
    long_name = "Maximiliane-Alexandra von Hohenlohe-Schillingsfürst zu Waldenburg und Pyrmont"
    count = TABLE_LINES + 1
    lines = [
        a_line(at + 1, price=f"{at + 1}", description=f"Nurse · {long_name if at == 7 else at}")
        for at in range(count)
    ]
    document = a_document(lines, seller=replace(SELLER, footer="Registered\nin Delaware"))
    made = pdf_document(document, lines, timesheets=[sheet(a_day(6))], logo=picture())
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(made)).pages]
    text = "\n".join(pages)
    for line in lines:
        assert f"{line.amount:,.2f}" in text, line.line_no
    listed = [page for page in pages if "40.00" in page]
    assert len(listed) > 10 and all("Unit price" in page for page in listed)
    assert "Unit price" not in pages[-1] and "Timesheets" in pages[-1]
    assert "Waldenburg" in text and all("in Delaware" in page for page in pages)
    assert made == pdf_document(document, lines, timesheets=[sheet(a_day(6))], logo=picture())


@pytest.mark.parametrize("content", [b"GIF89a", b"<svg/>", b"no picture"])
def test_a_logo_is_a_png_or_jpeg(content: bytes) -> None:
    """Another file is refused when the command is read, a broken one when it is carried out."""
    with pytest.raises(ValidationError, match="PNG or JPEG"):
        SetBillingCompany(
            command_id="c",
            actor="pat",
            billing_company="acme",
            logo=base64.b64encode(content).decode(),
        )
    check_logo(picture())
    with pytest.raises(Refused, match="logo_unreadable"):
        check_logo(picture()[:40])


def test_a_credit_note_says_what_it_corrects() -> None:
    """An operator's reason, else the documents that its lines correct, at most three by name."""
    credits = [
        a_line(at, "-1", document_id=f"T-{at}", corrects_invoice="INV-1") for at in range(1, 6)
    ]
    document = a_document(credits, document_type="credit-note")
    assert credit_reason(document, credits[:2]) == "Correction of timesheets T-1, T-2"
    assert credit_reason(document, credits) == "Correction of 5 timesheets"
    mixed = [*credits[:1], replace(credits[1], document_kind="placement", document_id="P-1")]
    assert credit_reason(document, mixed) == "Correction of placement P-1 and timesheet T-1"
    assert credit_reason(replace(document, credit_reason="Agreed"), credits) == "Agreed"
