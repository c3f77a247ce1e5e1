"""Workbooks that are written row by row to disk, so that memory is flat for any number of rows.

Text stays text: no formula, no link. The date of the file is given by the caller, so the same
content gives the same bytes.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from shared.money import minor_unit
from shared.render.parties import FORBIDDEN_IN_XML

LINES_A_SHEET = 1_000_000
"""Below the 1,048,576 rows of a sheet."""
COMMON_WIDTH = 13
PLAIN = "General"

Cell = str | int | Decimal | date | None


@dataclass(slots=True)
class Formula:
    """A formula, its computed value, and its number format."""

    text: str
    value: Decimal
    shown: str


def amounts_shown(currency: str) -> str:
    """Return the number format of amounts in a currency."""
    exponent = minor_unit(currency).as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) else 0
    return "#,##0." + "0" * decimals if decimals else "#,##0"


def _text(text: str) -> str:
    """Return user text for a cell.

    The writer reads text that starts with a rich-text tag as markup; a leading space prevents it.
    """
    kept = FORBIDDEN_IN_XML.sub(" ", text)
    return f" {kept}" if kept.startswith("<r>") else kept


class Sheet:
    """A sheet that is written row by row. `money`: the columns that hold amounts."""

    def __init__(
        self,
        book: "StreamedBook",
        name: str,
        columns: Iterable[str],
        *,
        money: Collection[str],
        widths: Mapping[str, int],
    ) -> None:
        self.book = book
        self.money = money
        self.name = name
        self.columns = tuple(columns)
        self.sheet: Any = book.book.add_worksheet(name)
        self.rows = 0
        for at, column in enumerate(self.columns):
            self.sheet.set_column(at, at, widths.get(column, COMMON_WIDTH))
        self.sheet.freeze_panes(1, 1)
        for at, column in enumerate(self.columns):
            self.sheet.write_string(0, at, column.replace("_", " "), book.style("@", bold=True))

    def write(self, cells: Iterable[Cell | Formula], amounts: str) -> int:
        """Write a row and return its number in formulas. `amounts` is the format of money cells."""
        self.rows += 1
        for at, cell in enumerate(cells):
            if isinstance(cell, Formula):
                self.sheet.write_formula(
                    self.rows, at, f"={cell.text}", self.book.style(cell.shown), cell.value
                )
            elif isinstance(cell, date):
                self.sheet.write_datetime(self.rows, at, cell, self.book.style("yyyy-mm-dd"))
            elif isinstance(cell, Decimal):
                self.sheet.write_number(
                    self.rows,
                    at,
                    cell,
                    self.book.style(amounts if self.columns[at] in self.money else PLAIN),
                )
            elif isinstance(cell, int):
                self.sheet.write_number(self.rows, at, cell)
            elif cell:
                self.sheet.write_string(self.rows, at, _text(cell))
        return self.rows + 1

    def range(self, column: str, first: int = 2, last: int | None = None) -> str:
        """Return the cell range of a column for formulas."""
        character = xl_col_to_name(self.columns.index(column))
        return f"'{self.name}'!${character}${first}:${character}${last or max(self.rows + 1, 2)}"


class StreamedBook:
    """A workbook of such sheets. Until it is closed, drafts are in the folder of `path`."""

    def __init__(self, path: Path, created: datetime) -> None:
        options = {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        }
        self.book: Any = xlsxwriter.Workbook(str(path), options | {"tmpdir": str(path.parent)})
        self.book.set_properties(
            {"created": created.astimezone(UTC).replace(tzinfo=None, microsecond=0)}
        )
        self.book.set_calc_mode("auto")
        self.styles: dict[tuple[str, bool], Any] = {}

    def style(self, number_format: str, bold: bool = False) -> Any:
        """Return a cell format, created once."""
        key = (number_format, bold)
        if key not in self.styles:
            self.styles[key] = self.book.add_format(
                {"num_format": number_format} | ({"bold": True, "bottom": 1} if bold else {})
            )
        return self.styles[key]
