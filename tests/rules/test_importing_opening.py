"""Opening data from CSV files: line keys as realizations have them, and wrong lines by number."""

from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from services.console.actions.commands import new_command
from services.console.importing.csv_rows import Problems
from services.console.importing.opening import (
    commands_of,
    documents_of,
    read_opening_lines,
    read_opening_numbers,
)
from services.console.queries.opening import KnownRate, KnownRequirement, OpeningFacts
from shared.events.commands import LoadOpeningDocuments, OpeningDocument, SetOpeningNumber
from shared.events.field_types import MESSAGE_BYTES
from tests.builders import COMPANY, time_key

NEW = partial(new_command, actor="pat", reason="first day")
HEADER = (
    "billing_company,invoice_number,type,invoice_date,due_date,account_name,currency,paid,line,"
    "document_kind,document_id,requirement_id,time_type,worker_id,week_ending,item,quantity,price,"
    "amount,tax_code,tax_rate,tax,corrects,corrects_line"
)
T_9 = (
    "acme-us,OLD-881,,2026-10-01,2026-10-16,ACME,USD,1000,3,timesheet,T-9,REQ-1,REG,W-1,2026-09-27"
    ",,40,50,2000,VAT,20,400,,"
)
FEE = "acme-us,OLD-881,,2026-10-01,,ACME,USD,,4,placement,P-1,,,W-1,,hire,1,500,500,,,,,"
BALANCE = "acme-us,OLD-700,,2026-08-01,,ACME,USD,,,,,,,,,,,,300,,,,,"
CREDIT = (
    "acme-us,CN-1,credit-note,2026-10-05,,ACME,USD,,,timesheet,T-9,REQ-1,REG,W-1,2026-09-27,,-2,50"
    ",-100,VAT,20,-20,OLD-881,3"
)
KNOWN = OpeningFacts(
    {COMPANY},
    {"ACME"},
    {"REQ-1": KnownRequirement(COMPANY, 4, "", "", "")},
    {
        ("REQ-1", "REG"): [
            KnownRate(date(2020, 1, 1), Decimal(50), "HUR"),
            KnownRate(date(2026, 9, 28), Decimal(52), "HUR"),
        ]
    },
)


def read(folder: Path, *rows: str) -> tuple[dict[str, OpeningDocument], list[str]]:
    """The documents of a file by number, and what is wrong."""
    path = folder / "opening-lines.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    problems = Problems()
    found = read_opening_lines(path, problems)
    documents = documents_of(found, KNOWN, path.name, problems)
    by_number = {each.invoice_number: each for _, each in documents}
    return by_number, [str(each) for each in problems.shown]


def test_lines_have_the_keys_of_realizations(tmp_path: Path) -> None:
    """T-9 cites the rate that was in force in its week; a fee its instalment."""
    documents, problems = read(tmp_path, T_9, FEE.replace(",,ACME", ",2026-10-16,ACME"), BALANCE)
    assert not problems
    old = documents["OLD-881"]
    assert (old.paid, old.due_date) == (Decimal(1000), date(2026, 10, 16))
    time, fee = old.lines
    assert time.line_key == time_key("REQ-1", "REG", "2020-01-01@50")
    assert (time.line_no, time.rate_version, time.rate_book) == (3, "2020-01-01@50", 4)
    assert (time.service_from, time.service_to) == (date(2026, 9, 21), date(2026, 9, 27))
    assert (fee.line_key, fee.line_kind) == ('["p","hire","hire",1]', "product")
    (balance,) = documents["OLD-700"].lines
    assert (balance.document_id, balance.quantity, balance.unit_price) == (None, 1, Decimal(300))


def test_credit_notes_are_loaded_after_what_they_correct(tmp_path: Path) -> None:
    """Whatever the order of the file."""
    documents, problems = read(tmp_path, CREDIT, T_9)
    assert not problems
    commands = commands_of(((COMPANY, each) for each in documents.values()), NEW, "f", Problems())
    assert [
        [each.invoice_number for each in command.documents]
        for command in commands
        if isinstance(command, LoadOpeningDocuments)
    ] == [["OLD-881"], ["CN-1"]]


def test_every_command_fits_into_a_message(tmp_path: Path) -> None:
    """As it is sent, with the fields that the file leaves out; what does not fit is named."""
    documents, _ = read(tmp_path, *(BALANCE.replace("-700", f"-{at}") for at in range(2_500)))
    problems = Problems()
    commands = commands_of(((COMPANY, each) for each in documents.values()), NEW, "f", problems)
    assert problems.count == 0 and len(commands) > 1
    assert max(len(each.model_dump_json().encode()) for each in commands) <= MESSAGE_BYTES
    lines = (T_9.replace(",3,", f",{at},") for at in range(1, 1_501))
    documents, _ = read(tmp_path, *lines)
    commands_of(((COMPANY, each) for each in documents.values()), NEW, "f", problems)
    assert "OLD-881 has 1,500 lines, more than a message holds" in str(problems.shown[0])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (T_9.replace(",50,", ",51,"), "line 2, amount: is 2000, but 40 × 51 is 2040"),
        (T_9.replace("20,400", "20,40"), "line 2, tax: is 40, but 20 % of 2000 USD is 400"),
        (
            T_9.replace("40,50,2000,VAT,20,400", "40,52,2080,VAT,20,416"),
            "line 2, price: REQ-1 has no bill rate of 52 for REG from 2026-09-21 to 2026-09-27"
            " (there is 50 from 2020-01-01)",
        ),
        (T_9.replace("REQ-1", "REQ-7"), "line 2, requirement_id: REQ-7 is not known"),
        (T_9.replace("ACME", "OTHER"), "line 2, account_name: no node of the billto hierarchy has"),
        (T_9.replace("acme-us", "acme"), "line 2, billing_company: acme is not known"),
        (T_9.replace("T-9", ""), "line 2, document_id: is missing"),
        (FEE.replace("hire", ""), "line 2, item: is missing"),
        (BALANCE.replace("300", ""), "line 2, amount: is empty"),
        (T_9.replace("2026-10-16", "2026-09-01"), "the due date is not within 999 days"),
        (T_9.replace("OLD-881,,", "OLD-881,bill,"), "line 2, type: 'bill' is not one of invoice"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, row: str, expected: str) -> None:
    """By file, line and column."""
    documents, problems = read(tmp_path, row)
    assert documents == {}
    assert problems[0].startswith("opening-lines.csv, line 2") and expected in problems[0]


def test_lines_of_one_document_agree(tmp_path: Path) -> None:
    """A document has one date, debtor and currency."""
    _, problems = read(tmp_path, T_9, FEE.replace("ACME", "ACME-2"))
    assert "line 3, account_name: is ACME-2, but OLD-881 has ACME on line 2" in problems[0]


def test_last_numbers(tmp_path: Path) -> None:
    """A series is named by its prefix."""
    path = tmp_path / "opening-numbers.csv"
    path.write_text(
        "billing_company,series,last_number,last_date\nacme-us,INV-,881,2026-09-30\n"
        "acme-us,CN-,0,2026-09-30\n"
    )
    ((_, command),), problems = read_opening_numbers(path, NEW)
    assert isinstance(command, SetOpeningNumber)
    assert (command.series_prefix, command.last_number) == ("INV-", 881)
    assert "line 3, last_number: '0' is not a whole number" in str(problems.shown[0])
