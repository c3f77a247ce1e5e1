"""Reports as CSV and XLSX (`report_xlsx`), written row by row.

A file is complete or does not exist. It depends on nothing but the rows and the days of the report,
so the same report gives the same bytes at any time.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from services.console.files.paths import file_path, temporary_folder
from services.console.queries.reports import Report, Span, Totals
from services.console.queries.snapshot import Row
from shared.render.csv import csv_cell, csv_record


class RowWriter(Protocol):
    """Takes the rows of a report, one at a time, and at the end its totals."""

    def add(self, row: Row) -> None:
        """Writes a row."""

    def close(self, totals: Totals) -> None:
        """Completes what was written."""


class ReportCsv:
    """A CSV file: the heads of the columns, and a record a row. A column adds up; no sums."""

    def __init__(self, path: Path, report: Report) -> None:
        self.columns = report.columns
        self.file = path.open("w", encoding="utf-8", newline="")
        self.file.write(csv_record(column.name for column in self.columns))

    def add(self, row: Row) -> None:
        """Writes a record."""
        self.file.write(csv_record(csv_cell(row[column.name]) for column in self.columns))

    def close(self, totals: Totals) -> None:
        """Ends the file."""
        self.file.close()


async def write_rows(rows: AsyncIterator[Row], report: Report, writer: RowWriter) -> Totals:
    """Give each row of a report to a writer, and return the totals."""
    totals = Totals(report)
    async for row in rows:
        totals.add(row)
        writer.add(row)
    writer.close(totals)
    return totals


async def save_report(
    rows: AsyncIterator[Row],
    report: Report,
    billing_company: str,
    span: Span,
    file_format: str,
    path: Path,
) -> tuple[Path, Totals]:
    """Writes a report to a file, which is replaced if it exists; returns its path and its totals.

    Raises `Refused` if nothing can be written there.
    """
    target = file_path(path, f"{report.name}.{file_format}", file_format.upper())
    with temporary_folder(target) as folder:
        draft = folder / f"report.{file_format}"
        writer: RowWriter
        if file_format == "xlsx":
            # Slow to import, and not needed for the other formats.
            from services.console.files.report_xlsx import ReportXlsx

            writer = ReportXlsx(draft, report, billing_company, span)
        else:
            writer = ReportCsv(draft, report)
        totals = await write_rows(rows, report, writer)
        draft.replace(target)
    return target, totals
