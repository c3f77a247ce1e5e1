"""CSV files as spreadsheets of all countries write them: what can be read in one way only is read,
the rest is refused by separator, encoding, letter case or the habit of Excel.
"""

import codecs
from decimal import Decimal
from pathlib import Path

import pytest

from services.console.importing.mapping import read_mapping
from services.console.importing.terms import read_terms
from shared.events.commands import AnyCommand
from tests.rules.test_import import FILES, planned, taken, write

TIMESHEETS, RATES = FILES["timesheets.csv"], FILES["bill_rates.csv"]
HEADER, FIRST, *_ = TIMESHEETS.splitlines()


def separated(text: str, separator: str) -> str:
    """A file without quotation marks, with another separator and decimal commas."""
    return text.replace(",", separator).replace(".", "," if separator != "," else ".")


READ = {
    "semicolons": separated(TIMESHEETS, ";"),
    "tabs": separated(TIMESHEETS, "\t"),
    "vertical bars": separated(TIMESHEETS, "|"),
    "sep": "sep=;\r\n" + separated(TIMESHEETS, ";").replace("\n", "\r\n"),
    "sep in quotation marks": '"sep=,"\n' + TIMESHEETS,
    "letter case": TIMESHEETS.replace(HEADER, HEADER.title()),
    "rows of separators": TIMESHEETS.replace(FIRST, f"\n,,,,,,\n ,  ,,,,,\n{FIRST}") + ",,,,,,\n\n",
    "decimal commas": TIMESHEETS.replace("7.5", '"7,5"').replace("4.25", '"4,250"'),
}
ENCODED = {
    "UTF-8 with a mark": codecs.BOM_UTF8 + TIMESHEETS.encode(),
    "UTF-16": separated(TIMESHEETS, "\t").encode("utf-16"),
    "UTF-16, the other byte first": codecs.BOM_UTF16_BE + TIMESHEETS.encode("utf-16-be"),
    "UTF-16 without a mark": TIMESHEETS.encode("utf-16-le"),
    "UTF-16 with sep=": ("sep=;\n" + separated(TIMESHEETS, ";")).encode("utf-16"),
} | {name: text.encode() for name, text in READ.items()}


@pytest.mark.parametrize("case", ENCODED)
def test_a_file_of_another_spreadsheet_is_read_as_the_same(case: str, tmp_path: Path) -> None:
    """Separator, encoding, letter case, blank rows and decimal commas change no value."""
    expected = taken(planned(write(tmp_path))[0])
    (tmp_path / "timesheets.csv").write_bytes(ENCODED[case])
    plan, problems = planned(tmp_path)
    assert not problems
    assert taken(plan).timesheets == expected.timesheets


def test_lines_are_numbered_as_people_see_them(tmp_path: Path) -> None:
    """A line `sep=` and rows of separators count as lines."""
    text = "sep=,\n" + TIMESHEETS.replace(FIRST, f",,,,,,\n{FIRST}").replace(",7.5", ",x")
    _, problems = planned(write(tmp_path, timesheets=text))
    assert problems[0].startswith("timesheets.csv, line 5, hours: 'x' is not")


@pytest.mark.parametrize(
    ("cell", "price"),
    [(".5", "0.5"), (",5", "0.5"), ("79,5", "79.5"), ("0,125", "0.125"), ("1.250", "1.25"),
     ("1.234,50", "1234.50"), ("1,234.50", "1234.50"), ("1,234,567.5", "1234567.5")],
)  # fmt: skip
def test_a_price_that_can_be_read_in_one_way_is(cell: str, price: str, tmp_path: Path) -> None:
    """Decimal commas, separators of thousands, and no zero before the point."""
    plan, problems = planned(write(tmp_path, bill_rates=RATES.replace("79.50", f'"{cell}"')))
    assert not problems
    assert taken(plan).requirements["req-1"].rates[0].bill_rate == Decimal(price)


REFUSED = {
    "price of three decimals": (
        "bill_rates", RATES.replace("79.50", '"1,250"'), "'1,250' may be 1.250 or 1250; write",
    ),
    "price of three decimals after a point": (
        "bill_rates", RATES.replace(",", ";").replace("79.50", "1.250"),
        "'1.250' may be 1.250 or 1250; write 1.2500 or 1250",
    ),
    "sep that is none": ("timesheets", "sep=#\n" + TIMESHEETS, "line 1: says sep=#, which is no"),
    "sep of another": (
        "timesheets", "sep=;\n" + TIMESHEETS,
        f"line 2, hours: is missing; the columns are {HEADER.replace(',', ', ')}; it is a part of"
        f" the cell '{HEADER}', because the file is read as separated by semicolons",
    ),
    "separator that is none": (
        "timesheets", TIMESHEETS.replace(",", ":"), "read as separated by commas: separate all",
    ),
    "a line in quotation marks": (
        "timesheets", TIMESHEETS.replace(HEADER, f'"{HEADER}"'), "without quotation marks",
    ),
    "rows separated otherwise": (
        "timesheets", HEADER + "\n" + separated(FIRST, ";"),
        "line 2: has 1 cell where the first line names 7 columns; the line is separated by"
        " semicolons, the first line by commas",
    ),
    "comma in a number": (
        "timesheets", TIMESHEETS.replace("7.5", "7,5"), "8 cells where the first line names 7",
    ),
    "letter case": (
        "timesheets",
        TIMESHEETS.replace(HEADER, HEADER.replace("timesheet_id", "Timesheet_ID,TIMESHEET_ID"))
        .replace("ts-", "x,ts-"),
        "timesheet_id: is named twice: Timesheet_ID and TIMESHEET_ID differ in letter case only",
    ),
    "another name": (
        "timesheets", TIMESHEETS.replace("timesheet_id", "Timesheet ID"),
        "'Timesheet ID' looks like it: write timesheet_id",
    ),
    "formula for text": (
        "timesheets", TIMESHEETS.replace("ts-2", '="00012"'),
        "line 3, timesheet_id: '=\"00012\"' is a formula for Excel; write '00012'",
    ),
    "formula for text in quotation marks": (
        "timesheets", TIMESHEETS.replace("ts-2", '"=""T1"""'), "is a formula for Excel; write 'T1'",
    ),
    "formula for a number": (
        "timesheets", TIMESHEETS.replace("7.5", '="7.5"'), "is a formula for Excel; write '7.5'",
    ),
    "mark for text": (
        "timesheets", TIMESHEETS.replace("ts-2", "'T1"),
        "timesheet_id: \"'T1\" has Excel's mark for text; write 'T1'",
    ),
    "shortened number": (
        "timesheets", TIMESHEETS.replace("ts-2", "1.23457E+11"), "number that Excel has shortened",
    ),
    "error": ("timesheets", TIMESHEETS.replace("ts-2", "#N/A"), "'#N/A' is an error of Excel"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_by_its_cause(case: str, tmp_path: Path) -> None:
    """The message names separator, letter case or the habit of Excel; nothing is published."""
    file, text, message = REFUSED[case]
    plan, problems = planned(write(tmp_path, **{file: text}))
    assert any(message in problem for problem in problems), problems
    assert not plan.records


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TIMESHEETS.encode("utf-32"), "line 1: is UTF-32; save the file as CSV UTF-8"),
        (TIMESHEETS.encode("utf-16")[:-1], "is no UTF-16 from here on; save the file as CSV UTF-8"),
        (TIMESHEETS.replace("hours", "hours\xa0é").encode("cp1252"), "the first line is not UTF-8"),
    ],
)
def test_an_encoding_that_cannot_be_read_is_named(
    content: bytes, message: str, tmp_path: Path
) -> None:
    """The message names the encoding and the one to save the file in."""
    (write(tmp_path) / "timesheets.csv").write_bytes(content)
    plan, problems = planned(tmp_path)
    assert any(message in problem for problem in problems), problems
    assert not plan.records


def test_names_may_begin_with_an_apostrophe(tmp_path: Path) -> None:
    """'t Hooft is a name; only an id that begins so shows the habit of Excel."""
    plan, problems = planned(
        write(tmp_path, billto=FILES["billto.csv"].replace("Acme West", "'t Hooft"))
    )
    assert not problems
    assert taken(plan).nodes["cl-1"].name == "'t Hooft"


def test_terms_and_mappings_are_read_in_the_same_dialects(tmp_path: Path) -> None:
    """Every CSV file that operators import is read by the same rules."""
    file = tmp_path / "file.csv"
    file.write_text("sep=;\nAccount_Name;Tax_ID\n;\nACME;12\n", encoding="utf-16")

    def command(name: str, **fields: str) -> AnyCommand:
        return fields  # type: ignore[return-value]

    found, problems = read_terms(file, command, "acme-us")
    fields = {"billing_company": "acme-us", "account_name": "ACME", "tax_id": "12"}
    assert ([*found], problems.shown) == ([(4, fields)], [])
    file.write_text("What;Code;Remote\n;;\naccount;;4000\n", encoding="utf-8")
    assert read_mapping(file) == ([{"what": "account", "code": "", "remote": "4000"}], [])
    file.write_text("what,code\naccount,4000\n", encoding="utf-8")
    assert read_mapping(file) == (
        [],
        ["line 1, remote: is missing; the columns are what, code, remote"],
    )
