"""Reports as workbooks: rows, their sums per currency as formulas, and what the report is of."""

from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path

from xlsxwriter.utility import xl_col_to_name

from services.console.queries.reports import Report, ReportColumn, Span, Totals
from services.console.queries.snapshot import Row
from shared.render.sheets import (
    LINES_A_SHEET,
    PLAIN,
    Cell,
    Formula,
    Sheet,
    StreamedBook,
    amounts_shown,
)

A4 = 9
SIGNS = "what lowers the debt is negative, so that each column adds up"
_WIDE = ReportColumn("", "is", width=60)


class ReportXlsx:
    """A workbook. More than a million rows continue on further sheets."""

    def __init__(self, path: Path, report: Report, billing_company: str, span: Span) -> None:
        last = span.until if report.of == "period" else span.as_of
        self.book = StreamedBook(path, datetime.combine(last, time(), UTC))
        self.report, self.billing_company, self.span = report, billing_company, span
        self.sheets = [self._rows_sheet(report.name)]

    def _rows_sheet(self, name: str) -> Sheet:
        return self._sheet(name, self.report.columns)

    def _sheet(self, name: str, columns: tuple[ReportColumn, ...]) -> Sheet:
        sheet = Sheet(
            self.book,
            name,
            [column.head for column in columns],
            money={column.head for column in columns if column.kind == "amount"},
            widths={column.head: column.width for column in columns},
        )
        sheet.sheet.set_landscape()
        sheet.sheet.set_paper(A4)
        sheet.sheet.fit_to_pages(1, 0)
        sheet.sheet.repeat_rows(0)
        sheet.sheet.set_header(f"&L{self.report.title}&R&P / &N")
        return sheet

    def add(self, row: Row) -> None:
        """Writes a row."""
        if self.sheets[-1].rows >= LINES_A_SHEET:
            self.sheets.append(self._rows_sheet(f"{self.report.name} {len(self.sheets) + 1}"))
        currency = row.get("currency")
        shown = amounts_shown(currency) if currency else PLAIN
        self.sheets[-1].write([row[column.name] for column in self.report.columns], shown)

    def close(self, totals: Totals) -> None:
        """Writes the sums and what the report is of."""
        for sheet in self.sheets:
            sheet.sheet.autofilter(0, 0, max(sheet.rows, 1), len(sheet.columns) - 1)
        self._write_sums(totals)
        about = self._sheet("about", (ReportColumn("", "about", width=18), _WIDE))
        about.write(["report", self.report.title], PLAIN)
        about.write(["billing company", self.billing_company], PLAIN)
        about.write(["days", self.span.words(self.report)], PLAIN)
        about.write(["rows", totals.count], PLAIN)
        about.write(["signs", SIGNS], PLAIN)
        self.book.book.close()

    def _write_sums(self, totals: Totals) -> None:
        by = [column for column in self.report.columns if column.name in self.report.sums_by]
        sheet = self._sheet("totals", (*by, *self.report.summed))
        for row in totals.rows:
            at = sheet.rows + 2
            shown = amounts_shown(row["currency"]) if row.get("currency") else PLAIN
            cells: list[Cell | Formula] = [row[column.name] for column in by]
            for column in self.report.summed:
                formula = "+".join(self._sum(one, column, by, row, at) for one in self.sheets)
                style = shown if column.kind == "amount" else PLAIN
                cells.append(Formula(formula, row[column.name] or Decimal(0), style))
            sheet.write(cells, shown)

    @staticmethod
    def _sum(sheet: Sheet, column: ReportColumn, by: list[ReportColumn], row: Row, at: int) -> str:
        """The formula of a sum over a sheet; an empty cell is found by the criterion "="."""
        criteria = "".join(
            f",{sheet.range(each.head)},"
            + (f"${xl_col_to_name(place)}{at}" if row[each.name] else '"="')
            for place, each in enumerate(by)
        )
        values = sheet.range(column.head)
        return f"SUMIFS({values}{criteria})" if criteria else f"SUM({values})"
