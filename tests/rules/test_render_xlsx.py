"""The workbook of a batch, read by another library: real numbers and dates, right formulas."""

import io
import re
import time
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.escape import unescape

from shared.render import CSV_COLUMNS, ControlTotals
from shared.render.xlsx import DOCUMENT_COLUMNS, XlsxBook
from shared.terms import ClosedDocument, ClosedLine
from tests.rules.test_render import a_credit_note, a_document, a_line

CLOSED_AT = datetime(2026, 4, 2, 9, 30, 15, 123456, UTC)
RANGE = re.compile(r"'([^']+)'!\$([A-Z]+)\$(\d+):\$([A-Z]+)\$(\d+)")
Documents = list[tuple[ClosedDocument, list[ClosedLine]]]


def a_batch() -> Documents:
    """An invoice of seven lines, another in yen, and a credit note."""
    usd, jpy = (
        [a_line(number, "37.5", "33.3333") for number in range(1, 8)],
        [a_line(1, "3", "1001", "JPY"), a_line(2, "1", "4.4", "JPY")],
    )
    return [
        (a_document(usd), usd),
        (a_document(jpy, currency="JPY", invoice_number="HAR-000044"), jpy),
        a_credit_note(),
    ]


def written(
    place: Path, batch: Documents, lines_a_sheet: int = 1_000_000, off: Decimal = Decimal(0)
) -> ControlTotals:
    """The batch as a workbook at that path."""
    book, totals = XlsxBook(place, CLOSED_AT, lines_a_sheet), ControlTotals()
    for document, lines in batch:
        totals.add_document(document)
        book.begin(document)
        for line in lines:
            totals.add_line(document.currency, line)
            book.line(document, line)
        book.end(document)
    announced = {
        currency: {
            "documents": Decimal(each.documents),
            "lines": Decimal(each.lines),
            "net": each.net + off,
            "tax": each.tax,
            "total": each.total,
        }
        for currency, each in totals.by_currency.items()
    }
    book.close(totals.by_currency, announced)
    return totals


class Workbook:
    """Reads a workbook twice, formulas and shown values, and computes the formulas itself."""

    def __init__(self, place: Path) -> None:
        self.formulas = openpyxl.load_workbook(place)
        self.shown = openpyxl.load_workbook(place, data_only=True)

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a sheet by the heads of its columns, as shown."""
        head, *rows = self.shown[name].iter_rows(values_only=True)
        return [
            dict(zip((str(each).replace(" ", "_") for each in head), row, strict=True))
            for row in rows
        ]

    def cells(self, sheet: str, column: str, first: str, last: str) -> list[Any]:
        return [
            self.value(self.formulas[sheet][f"{column}{row}"], sheet)
            for row in range(int(first), int(last) + 1)
        ]

    def value(self, cell: Any, sheet: str) -> Any:
        return self.compute(str(cell.value)[1:], sheet) if cell.data_type == "f" else cell.value

    def compute(self, formula: str, sheet: str) -> Decimal:
        """SUM, ROWS, SUMIFS, COUNTIF, ABS, ROUND, + and -, as a spreadsheet computes them."""

        def held(found: re.Match[str]) -> str:
            name, column, first, _, last = found.groups()
            return f"cells({name!r},{column!r},{first!r},{last!r})"

        text = RANGE.sub(held, formula)
        text = re.sub(r"(?<![\w'])\$?([A-Z]{1,2})(\d+)(?![\w'])", r"at('\1\2')", text)

        def number(value: Any) -> Decimal:
            return Decimal(str(value)) if isinstance(value, int | float | Decimal) else Decimal(0)

        def key(value: Any) -> Any:
            return value if isinstance(value, str) else number(value)

        def sumifs(values: list[Any], keys: list[Any], wanted: Any) -> Decimal:
            return sum(
                (number(value) for value, each in zip(values, keys, strict=True) if each == wanted),
                Decimal(0),
            )

        names = {
            "cells": self.cells,
            "at": lambda where: key(self.value(self.formulas[sheet][where], sheet)),
            "SUM": lambda *lists: sum(
                (number(value) for values in lists for value in values), Decimal(0)
            ),
            "ROWS": len,
            "SUMIFS": sumifs,
            "COUNTIF": lambda keys, wanted: Decimal(keys.count(wanted)),
            "ABS": lambda value: abs(number(value)),
            "ROUND": lambda value, digits: round(number(value), digits),
        }
        return number(eval(text, {"__builtins__": {}}, names))

    def check_formulas(self) -> int:
        """Every formula computes to the value of its cell; returns their number."""
        count = 0
        for sheet in self.formulas:
            for row in sheet.iter_rows():
                for cell in row:
                    if cell.data_type == "f":
                        shown = self.shown[sheet.title][cell.coordinate].value
                        assert self.compute(cell.value[1:], sheet.title) == Decimal(str(shown)), (
                            sheet.title,
                            cell.coordinate,
                            cell.value,
                        )
                        count += 1
        return count


def test_the_sheets_add_up_to_the_batch(tmp_path: Path) -> None:
    """Lines, documents, tax and control totals agree.

    A credit note's amounts are negative, so that a column sums.
    """
    batch = a_batch()
    totals = written(tmp_path / "b.xlsx", batch)
    book = Workbook(tmp_path / "b.xlsx")
    assert book.shown.sheetnames == ["documents", "lines", "tax", "control totals"]
    lines, documents = book.table("lines"), book.table("documents")
    assert list(lines[0]) == list(CSV_COLUMNS)
    assert list(documents[0]) == list(DOCUMENT_COLUMNS)
    assert len(lines) == totals.lines == 11
    for row in book.table("control totals"):
        counted = totals.by_currency[row["currency"]]
        for name in ("documents", "lines", "quantity", "net", "tax", "total"):
            assert Decimal(str(row[name])) == getattr(counted, name), name
        assert (
            Decimal(
                str(
                    sum(
                        Decimal(str(each["amount"]))
                        for each in lines
                        if each["currency"] == row["currency"]
                    )
                )
            )
            == counted.net
        )
        assert (Decimal(str(row["tax_by_rate"])), row["difference"]) == (counted.tax, 0)
    assert [(row["invoice_number"], row["net"], row["tax"], row["total"]) for row in documents][
        2
    ] == ("HAR-000043", -194.03, -19.4, -213.43)
    assert book.check_formulas() == 4 * len(documents) + 8 * 2


def test_numbers_and_dates_are_real(tmp_path: Path) -> None:
    """Dates, quantities and prices have types; amounts their decimals.

    An empty date is an empty cell.
    """
    line = a_line(1, week_ending=None)
    written(tmp_path / "b.xlsx", [(a_document([line]), [line]), a_batch()[1]])
    sheet = Workbook(tmp_path / "b.xlsx").shown["lines"]
    row = dict(zip(CSV_COLUMNS, sheet[2], strict=True))
    assert (
        row["invoice_date"].value.date(),
        row["invoice_date"].is_date,
        row["week_ending"].value,
    ) == (date(2026, 4, 2), True, None)
    assert (
        row["quantity"].value,
        row["unit_price"].value,
        row["amount"].value,
        row["amount"].number_format,
    ) == (40, 79.5, 3180, "#,##0.00")
    assert dict(zip(CSV_COLUMNS, sheet[3], strict=True))["amount"].number_format == "#,##0"


def test_a_wrong_announcement_shows_in_the_difference(tmp_path: Path) -> None:
    """The control sheet compares with the closed batch."""
    written(tmp_path / "b.xlsx", a_batch(), off=Decimal("0.01"))
    book = Workbook(tmp_path / "b.xlsx")
    assert [row["difference"] for row in book.table("control totals")] == [0.01, 0.01]
    book.check_formulas()


HOSTILE = [
    '=HYPERLINK("http://x","y")',
    "+1",
    "<r><t>x</t></r>",
    "_x0041_",
    "a\x00b\ud800\ufffe",
    "http://example.org",
    "0012",
    " two\nlines ",
    "{=1}",
]


def test_text_stays_text(tmp_path: Path) -> None:
    """User text is never a formula, a link, a number or markup."""
    lines = [
        a_line(at, description=text, worker_id=text, project=text)
        for at, text in enumerate(HOSTILE, 1)
    ]
    written(
        tmp_path / "b.xlsx",
        [(a_document(lines, account_name=HOSTILE[0], po_number=HOSTILE[2]), lines)],
    )
    book = Workbook(tmp_path / "b.xlsx")
    found = [
        unescape(row["description"]) for row in book.table("lines")
    ]  # Excel does so; the reader leaves it to its caller
    assert found == [*HOSTILE[:2], " <r><t>x</t></r>", "_x0041_", "a b  ", *HOSTILE[5:]]
    assert all(
        cell.data_type != "f" and cell.hyperlink is None
        for row in book.formulas["lines"].iter_rows(min_row=2)
        for cell in row
    )


def test_more_lines_than_a_sheet_holds_go_on(tmp_path: Path) -> None:
    """Over a million lines continue in another sheet; sums include both."""
    written(tmp_path / "b.xlsx", a_batch(), lines_a_sheet=5)
    book = Workbook(tmp_path / "b.xlsx")
    assert book.shown.sheetnames == [
        "documents",
        "lines",
        "tax",
        "control totals",
        "lines 2",
        "lines 3",
    ]
    assert [len(book.table(name)) for name in ("lines", "lines 2", "lines 3")] == [5, 5, 1]
    assert (
        "'lines'" in book.formulas["documents"]["S2"].value
        and "'lines 2'" in book.formulas["documents"]["S2"].value
    )
    book.check_formulas()


def test_a_document_without_lines_is_in_the_book(tmp_path: Path) -> None:
    """It causes no division by zero and no reversed range."""
    written(tmp_path / "b.xlsx", [(a_document([]), [])])
    book = Workbook(tmp_path / "b.xlsx")
    assert [(row["lines"], row["net"], row["total"]) for row in book.table("documents")] == [
        (0, 0, 0)
    ]
    book.check_formulas()


def test_the_same_batch_gives_the_same_bytes(tmp_path: Path) -> None:
    """The file has the instant of the batch, never the clock."""
    written(tmp_path / "a.xlsx", a_batch())
    time.sleep(2.1)  # the clock of a .zip has steps of two seconds
    written(tmp_path / "b.xlsx", a_batch())
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
    made = openpyxl.load_workbook(io.BytesIO((tmp_path / "a.xlsx").read_bytes())).properties
    assert made.created == made.modified == CLOSED_AT.replace(tzinfo=None, microsecond=0)


@pytest.mark.slow
def test_memory_is_flat(tmp_path: Path) -> None:
    """10,000 lines take no more memory than 1,000."""

    def peak(count: int) -> int:
        document, line = a_document([]), a_line(1)
        tracemalloc.start()
        book = XlsxBook(tmp_path / f"{count}.xlsx", CLOSED_AT)
        book.begin(document)
        for _ in range(count):
            book.line(document, line)
        book.end(document)
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        book.close({}, {})
        return high

    peak(10)
    assert peak(10_000) < peak(1_000) + 50_000
    sizes = [(tmp_path / f"{count}.xlsx").stat().st_size for count in (1_000, 10_000)]
    assert sizes[1] > 3 * sizes[0], "all lines are in the file"
