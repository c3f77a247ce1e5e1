"""`backoffice reports`: what is to be billed, was billed and is owed, as a table or a file."""

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import (
    AccountName,
    Company,
    must_be_one_of,
    option,
    parsed,
    read_date,
)
from services.console.cli.output import Column, plain_value
from services.console.columns.disputes import disputed_column
from shared.terms import counted

if TYPE_CHECKING:
    from services.console.queries.reports import Report, ReportColumn, Span, Totals

NAMES = (
    "pending",
    "scheduled",
    "unbilled",
    "register",
    "credits",
    "snoozed",
    "held",
    "products",
    "fees",
    "tax",
    "hours",
    "statement",
)
FORMATS = ("table", "csv", "xlsx")
TAKES = {
    "today": "it is of today",
    "as-of": "it takes --as-of",
    "period": "it takes --from and --to",
}


def register(backoffice: typer.Typer) -> None:
    """Adds this command to `backoffice`."""
    command(backoffice)(reports)


def reports(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="|".join(NAMES))],
    billing_company: Company,
    as_of: Annotated[
        date | None,
        parsed(
            read_date,
            "unbilled, held: the end of this day (default: today).",
            "--as-of",
            metavar="DATE",
        ),
    ] = None,
    since: Annotated[
        date | None,
        parsed(
            read_date, "Period from (default: the first of that month).", "--from", metavar="DATE"
        ),
    ] = None,
    until: Annotated[
        date | None, parsed(read_date, "Period up to (default: today).", "--to", metavar="DATE")
    ] = None,
    account_name: AccountName = None,
    file_format: Annotated[
        str, typer.Option("--format", metavar="|".join(FORMATS), help="csv, xlsx: needs --out.")
    ] = "table",
    out: Annotated[
        Path | None, option("Write this file; an existing one is replaced.", metavar="FILE")
    ] = None,
    limit: Annotated[
        int,
        typer.Option("--limit", min=1, max=100_000, metavar="N", help="Rows of a table at most."),
    ] = 200,
) -> None:
    """Show or write a report. What lowers the debt is negative, so that each column adds up.

    Of today: pending, scheduled (open lines by month), snoozed. Of a day: unbilled, held. Of a
    period, by invoice date: register, credits, products, tax; by week ending: hours; statement.
    """
    must_be_one_of(NAMES, name, "NAME")
    must_be_one_of(FORMATS, file_format, "--format")
    if (file_format == "table") != (out is None):
        raise typer.BadParameter(
            "give --format csv or xlsx with --out FILE, or neither", param_hint="--out"
        )
    from services.console.queries.reports import REPORTS, report_rows, span_of

    report = REPORTS[name]
    _check_options(report, as_of, since, until, account_name)

    async def work(connection: Any) -> "tuple[Span, Path | None, Totals, _Shown]":
        from services.console.files.reports import save_report, write_rows

        span = await span_of(connection, billing_company, as_of, since, until)
        rows = report_rows(connection, report, billing_company, span, account_name)
        shown = _Shown(run, report, billing_company, span, limit)
        if out is not None:
            path, totals = await save_report(rows, report, billing_company, span, file_format, out)
            return span, path, totals, shown
        return span, None, await write_rows(rows, report, shown), shown

    span, path, totals, shown = run.read(work)
    if path is not None:
        _show_file(run, _head(report, billing_company, span), report, path, totals)
    elif not run.as_json:
        shown.show(totals)


def _check_options(
    report: "Report",
    as_of: date | None,
    since: date | None,
    until: date | None,
    account_name: str | None,
) -> None:
    """Wrong use if an option is given that the report does not take."""
    given = {"--as-of": as_of, "--from": since, "--to": until}
    allowed = {"today": (), "as-of": ("--as-of",), "period": ("--from", "--to")}[report.of]
    for name, value in given.items():
        if value is not None and name not in allowed:
            raise typer.BadParameter(
                f"{report.name} does not take {name}: {TAKES[report.of]}", param_hint=name
            )
    if account_name is not None and not report.by_account:
        raise typer.BadParameter(
            f"{report.name} is of all debtors: leave --account-name out",
            param_hint="--account-name",
        )


def _head(report: "Report", billing_company: str, span: "Span") -> dict[str, Any]:
    """What a report is of, for its JSON document."""
    days: dict[str, Any] = {"as_of": span.today if report.of == "today" else span.as_of}
    if report.of == "period":
        days = {"from": span.since, "to": span.until}
    return {"report": report.name, "billing_company": billing_company} | days


def _show_file(
    run: Run, head: dict[str, Any], report: "Report", path: Path, totals: "Totals"
) -> None:
    """The sums of what was written, and where it is."""
    run.document(head | {"path": path, "total": totals.count, "totals": totals.rows})
    run.table(totals.rows, _sums(report))
    run.say(f"{counted(totals.count, 'row')}: {path}")


def _column(column: "ReportColumn") -> Column:
    return Column(
        column.name,
        "" if column.name == "currency" else column.head,
        figures=column.kind in ("count", "quantity", "rate", "amount"),
        ids=column.kind == "id",
        whole=column.kind == "date" or column.name in ("invoice_number", "corrects_invoice"),
        most=300 if column.name == "message" else 40,
    )


def _sums(report: "Report") -> list[Column]:
    by = [Column(name, "") for name in report.sums_by]
    return [*map(_column, report.summed), *by]


class _Shown:
    """A report on the screen: one JSON document that is written as the rows come, or a table of the
    first rows.
    """

    def __init__(
        self, run: Run, report: "Report", billing_company: str, span: "Span", limit: int
    ) -> None:
        self.run, self.report, self.span, self.limit = run, report, span, limit
        self.billing_company = billing_company
        self.rows: list[dict[str, Any]] = []
        self.begun = False

    def add(self, row: dict[str, Any]) -> None:
        """Writes a row of the document, or keeps a row of the table."""
        if self.run.as_json:
            self.run.document_part(",\n    " if self.begun else self._opening() + "\n    ")
            self.run.document_part(
                _json({column.name: row[column.name] for column in self.report.columns})
            )
            self.begun = True
        elif len(self.rows) < self.limit:
            self.rows.append(row)

    def close(self, totals: "Totals") -> None:
        """Ends the document."""
        if self.run.as_json:
            self.run.document_part("" if self.begun else self._opening())
            sums = _json(totals.rows)
            self.run.document_part(f'\n  ],\n  "total": {totals.count},\n  "totals": {sums}\n}}\n')

    def show(self, totals: "Totals") -> None:
        """Prints the table, the sums of all rows, and how old the balances of a statement are."""
        title = f"{self.report.title} of {self.billing_company} {self.span.words(self.report)}"
        columns = [_column(each) for each in self.report.columns if each.least <= self.run.width]
        self.run.table(self.rows, columns, title=title, empty=f"{title}: nothing")
        self.run.shortened(len(self.rows), totals.count)
        if totals.count > 1:
            self.run.say("totals", "bold")
            self.run.table(totals.rows, _sums(self.report))
        if self.report.name == "statement":
            self._show_ages()

    def _show_ages(self) -> None:
        from services.console.queries.reports import CLOSING
        from shared.calendar import AGEING_BUCKETS

        closing = [row for row in self.rows if row["entry"] == CLOSING]
        columns = [
            Column("account_name", "debtor", most=40),
            *(Column(age, age, figures=True) for age in AGEING_BUCKETS),
            *disputed_column(closing),
            Column("currency", ""),
        ]
        self.run.table(closing, columns, title=f"days past due on {self.span.until}")

    def _opening(self) -> str:
        head = _json(_head(self.report, self.billing_company, self.span))
        return f'{head[:-1]}, "rows": ['


def _json(value: Any) -> str:
    return json.dumps(value, default=plain_value, ensure_ascii=False)
