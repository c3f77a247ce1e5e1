"""Files of reports: text stays text, amounts have the decimals of their currency, sums are formulas
over all sheets, and memory is flat.
"""

import asyncio
import csv
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from services.console.files import report_xlsx
from services.console.files.reports import save_report
from services.console.queries.amounts import with_money
from services.console.queries.reports import REPORTS, Report, Span, Totals

REGISTER, UNBILLED, HELD = REPORTS["register"], REPORTS["unbilled"], REPORTS["held"]
DAY = date(2026, 3, 31)
SPAN = Span(DAY, DAY, date(2026, 3, 1), DAY)
MEGABYTES = 1024 * 1024


def a_row(number: int, currency: str = "USD", **changes: Any) -> dict[str, Any]:
    """A row of the register: an invoice of 100 and 8.5 tax."""
    row = {
        "invoice_number": f"INV-{number:06}",
        "document_type": "invoice",
        "invoice_date": DAY,
        "due_date": DAY,
        "account_name": "Mercy",
        "po_number": "",
        "lines": 2,
        "net": Decimal("100.0000"),
        "tax": Decimal("8.5000") if currency != "JPY" else Decimal("8.0000"),
        "total": Decimal("108.5000") if currency != "JPY" else Decimal("108.0000"),
        "currency": currency,
        "cut_off_date": DAY,
        "batch_id": "B-1",
    }
    return with_money(row | changes, "net", "tax", "total")


def save(
    rows: Iterable[dict[str, Any]], kind: str, path: Path, report: Report = REGISTER
) -> Totals:
    """Writes a report."""

    async def stream() -> AsyncIterator[dict[str, Any]]:
        for row in rows:
            yield row

    return asyncio.run(save_report(stream(), report, "acme-us", SPAN, kind, path))[1]


HOSTILE = ["=1+1", "@SUM(A1)", "-2", "Care;=1+1", "<r>bold</r>", 'a "quoted", text', "\x07bell"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_no_formula_in_any_file(tmp_path: Path, text: str) -> None:
    """An Account Name from outside is text in CSV and XLSX."""
    rows = [a_row(1, account_name=text)]
    save(rows, "csv", tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        (read,) = csv.DictReader(file)
    assert not read["account_name"].startswith(("=", "@", "-"))
    assert ";=" not in read["account_name"]
    save(rows, "xlsx", tmp_path / "r.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "r.xlsx")["register"]
    assert sheet["E2"].data_type == "s"


def test_amounts_have_the_decimals_of_their_currency(tmp_path: Path) -> None:
    """JPY none, USD two, KWD three; a column of one currency adds up, credits are negative."""
    changes = {"net": Decimal("-30.125"), "tax": Decimal(0), "total": Decimal("-30.125")}
    rows = [a_row(1), a_row(2, "JPY"), a_row(3, "KWD"), a_row(4, "KWD", **changes)]
    totals = save(rows, "csv", tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        assert [row["net"] for row in csv.DictReader(file)] == [
            "100.00",
            "100",
            "100.000",
            "-30.125",
        ]
    assert [(row["currency"], str(row["net"])) for row in totals.rows] == [
        ("JPY", "100"),
        ("KWD", "69.875"),
        ("USD", "100.00"),
    ]
    save(rows, "xlsx", tmp_path / "r.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "r.xlsx")["register"]
    formats = [sheet.cell(at, 8).number_format for at in range(2, 6)]
    assert formats == ["#,##0.00", "#,##0", "#,##0.000", "#,##0.000"]


def test_sums_are_formulas_over_all_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than a sheet holds continue on another one."""
    monkeypatch.setattr(report_xlsx, "LINES_A_SHEET", 2)
    save([a_row(number) for number in range(5)], "xlsx", tmp_path / "r.xlsx")
    book = openpyxl.load_workbook(tmp_path / "r.xlsx")
    assert book.sheetnames == ["register", "register 2", "register 3", "totals", "about"]
    formula = book["totals"]["C2"].value
    assert formula.count("SUMIFS(") == 3
    assert "'register 3'!$H$2:$H$2" in formula
    values = openpyxl.load_workbook(tmp_path / "r.xlsx", data_only=True)
    assert [cell.value for cell in values["totals"][2]] == ["USD", 10, 500, 42.5, 542.5]
    assert [row[1].value for row in values["about"].iter_rows(min_row=2)] == [
        "invoice register",
        "acme-us",
        "2026-03-01 to 2026-03-31",
        5,
        report_xlsx.SIGNS,
    ]


def test_what_has_no_currency_is_summed_too(tmp_path: Path) -> None:
    """Held hours have no amount: the criterion of their sum is an empty cell."""
    row = {column.name: None for column in UNBILLED.columns}
    held = row | {"status": "held", "lines": 0, "hours": Decimal(40), "currency": ""}
    save([held], "xlsx", tmp_path / "u.xlsx", UNBILLED)
    sheet = openpyxl.load_workbook(tmp_path / "u.xlsx")["totals"]
    assert '"="' in sheet["C2"].value
    save([{c.name: None for c in HELD.columns} | {"hours": Decimal(8)}], "xlsx",
         tmp_path / "h.xlsx", HELD)  # fmt: skip
    sheet = openpyxl.load_workbook(tmp_path / "h.xlsx")["totals"]
    assert sheet["A2"].value == "=SUM('held'!$I$2:$I$2)"


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_same_rows_give_the_same_bytes_and_memory_is_flat(tmp_path: Path, kind: str) -> None:
    """Rows go to disk as they come: 3,000 take no more memory than 300."""

    def peak(rows: int) -> float:
        tracemalloc.start()
        save((a_row(number) for number in range(rows)), kind, tmp_path / f"{rows}.{kind}")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak / MEGABYTES

    small, large = peak(300), peak(3_000)
    assert large < small + 0.25, (small, large)
    save((a_row(number) for number in range(300)), kind, tmp_path / f"again.{kind}")
    assert (tmp_path / f"again.{kind}").read_bytes() == (tmp_path / f"300.{kind}").read_bytes()


def test_a_file_is_complete_or_does_not_exist(tmp_path: Path) -> None:
    """What fails in the middle leaves neither a file nor a draft, and an older file as it was."""
    (tmp_path / "r.csv").write_text("older")

    def broken() -> Iterable[dict[str, Any]]:
        yield a_row(1)
        raise RuntimeError("the connection is lost")

    with pytest.raises(RuntimeError):
        save(broken(), "csv", tmp_path / "r.csv")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("r.csv", "older")]
