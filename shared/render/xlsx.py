"""XLSX of closed documents: sheets `documents`, `lines`, `tax` and `control totals`, and the sheet
`allowances` if a document has discounts or surcharges.

Real numbers and dates; totals are formulas with their computed values. Signs as in `terms`: a
column sums to the batch. Written row by row to disk, so memory is flat for any number of lines; a
sheet holds about a million rows, and more lines continue in `lines 2` and so on. The file's date is
given by the caller, so the same batch gives the same bytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from xlsxwriter.utility import xl_col_to_name

from shared.money import ZERO
from shared.render.csv import CSV_COLUMNS
from shared.render.sheets import (
    LINES_A_SHEET,
    PLAIN,
    Cell,
    Formula,
    Sheet,
    StreamedBook,
    amounts_shown,
)
from shared.render.totals import CurrencyTotals
from shared.terms import ClosedDocument, ClosedLine

DOCUMENT_COLUMNS = (
    *(
        "invoice_number",
        "document_type",
        "billing_company",
        "account_name",
        "buyer",
        "buyer_tax_id",
        "invoice_date",
        "due_date",
        "cut_off_date",
    ),
    *(
        "service_from",
        "service_to",
        "payment_terms",
        "po_number",
        "corrects",
        "tax_regime",
        "tax_wording",
        "currency",
        "lines",
        "net",
        "tax",
        "total",
    ),
    "content_hash",
)
OF_ALLOWANCE = ("name", "tax_code", "tax_rate", "base", "percent", "amount")
TAX_COLUMNS = ("invoice_number", "currency", "tax_code", "tax_rate", "net", "tax")
COUNTED = ("documents", "lines", "quantity", "net", "tax", "total")
ANNOUNCED = ("documents", "lines", "net", "tax", "total")
WIDTHS = {
    "description": 42,
    "account_name": 30,
    "buyer": 30,
    "tax_wording": 24,
    "corrects": 24,
    "document_id": 22,
    "content_hash": 20,
}
MONEY = frozenset(
    {
        "amount",
        "tax_amount",
        "allowance_amount",
        "base",
        "net",
        "tax",
        "total",
        "announced_net",
        "announced_tax",
        "announced_total",
    }
)


class XlsxBook(StreamedBook):
    """The workbook of one batch: `begin`, lines and `end` per document, then `close`.

    Until `close`, drafts of the sheets are in the folder of `path`; the caller removes them after
    an error.
    """

    def __init__(self, path: Path, created: datetime, lines_a_sheet: int = LINES_A_SHEET) -> None:
        super().__init__(path, created)
        self.lines_a_sheet = lines_a_sheet
        self.documents = self.sheet("documents", DOCUMENT_COLUMNS)
        self.lines = [self.sheet("lines", CSV_COLUMNS)]
        self.tax = self.sheet("tax", TAX_COLUMNS)
        self.control = self.sheet(
            "control totals",
            [
                "currency",
                *COUNTED,
                "tax_by_rate",
                *(f"announced_{name}" for name in ANNOUNCED),
                "difference",
            ],
        )
        self.allowances: Sheet | None = None
        self.spans: list[tuple[Sheet, int, int]] = []

    def sheet(self, name: str, columns: Iterable[str]) -> Sheet:
        """Add a sheet with these columns."""
        return Sheet(self, name, columns, money=MONEY, widths=WIDTHS)

    def begin(self, document: ClosedDocument) -> None:
        """Start a document."""
        self.spans = []

    def line(self, document: ClosedDocument, line: ClosedLine) -> None:
        """Write one line of the current document."""
        if self.lines[-1].rows >= self.lines_a_sheet:
            self.lines.append(self.sheet(f"lines {len(self.lines) + 1}", CSV_COLUMNS))
        sheet = self.lines[-1]
        row = sheet.write(_line_cells(document, line), amounts_shown(document.currency))
        if self.spans and self.spans[-1][0] is sheet:
            self.spans[-1] = (sheet, self.spans[-1][1], row)
        else:
            self.spans.append((sheet, row, row))

    def end(self, document: ClosedDocument) -> None:
        """Write the document's row with sums over its lines."""
        shown, row = amounts_shown(document.currency), self.documents.rows + 2
        net, tax = (xl_col_to_name(DOCUMENT_COLUMNS.index(name)) for name in ("net", "tax"))
        figures = {
            "lines": Formula(
                "+".join(f"ROWS({sheet.range('line_no', *span)})" for sheet, *span in self.spans)
                or "0",
                Decimal(document.line_count),
                "0",
            ),
            "net": Formula(self._net(document), document.net, shown),
            "tax": Formula(self._summed("tax_amount"), document.tax, shown),
            "total": Formula(f"{net}{row}+{tax}{row}", document.total, shown),
        }
        cells: dict[str, Cell | Formula] = {**_document_cells(document), **figures}
        self.documents.write([cells[name] for name in DOCUMENT_COLUMNS], shown)
        for each in document.tax_totals:
            self.tax.write(
                [
                    document.invoice_number,
                    document.currency,
                    each.code,
                    each.rate,
                    each.net,
                    each.tax,
                ],
                shown,
            )

        self._add_allowances(document, shown)

    def _add_allowances(self, document: ClosedDocument, shown: str) -> None:
        """Write the discounts and surcharges of a document; the first ones begin the sheet."""
        if document.allowances and self.allowances is None:
            columns = ("invoice_number", "currency", *OF_ALLOWANCE)
            self.allowances = self.sheet("allowances", columns)
        for each in document.allowances:
            assert self.allowances is not None
            head = (document.invoice_number, document.currency)
            self.allowances.write([*head, *astuple(each)], shown)

    def _net(self, document: ClosedDocument) -> str:
        """Return the formula of the net: the lines, and their allowances if there are any."""
        columns = ("amount", "allowance_amount") if document.allowances else ("amount",)
        return "+".join(map(self._summed, columns))

    def _summed(self, column: str) -> str:
        return (
            f"SUM({','.join(sheet.range(column, *span) for sheet, *span in self.spans)})"
            if self.spans
            else "0"
        )

    def close(
        self, counted: Mapping[str, CurrencyTotals], announced: Mapping[str, Mapping[str, Decimal]]
    ) -> None:
        """Write control totals per currency (counted, stated by the batch, difference) and
        close.
        """
        for currency in sorted(counted):
            self._control(currency, counted[currency], announced.get(currency, {}))
        for sheet in (self.documents, *self.lines, self.tax):
            sheet.sheet.autofilter(0, 0, max(sheet.rows, 1), len(sheet.columns) - 1)
        self.book.close()

    def _control(
        self, currency: str, counted: CurrencyTotals, announced: Mapping[str, Decimal]
    ) -> None:
        shown, row = amounts_shown(currency), self.control.rows + 2
        column_letter = {name: xl_col_to_name(at) for at, name in enumerate(self.control.columns)}
        mine = f"$A{row}"

        def over_lines(name: str) -> str:
            return "+".join(
                f"SUMIFS({sheet.range(name)},{sheet.range('currency')},{mine})"
                for sheet in self.lines
            )

        texts = {
            "documents": (f"COUNTIF({self.documents.range('currency')},{mine})", "0"),
            "lines": (
                "+".join(f"COUNTIF({sheet.range('currency')},{mine})" for sheet in self.lines),
                "0",
            ),
            "quantity": (over_lines("quantity"), PLAIN),
            "net": (f"{over_lines('amount')}+{over_lines('allowance_amount')}", shown),
            "tax": (over_lines("tax_amount"), shown),
            "total": (
                f"SUMIFS({self.documents.range('total')},{self.documents.range('currency')},{mine})",
                shown,
            ),
        }
        values = {name: Decimal(getattr(counted, name)) for name in COUNTED}
        by_rate = Formula(
            f"SUMIFS({self.tax.range('tax')},{self.tax.range('currency')},{mine})",
            counted.tax,
            shown,
        )
        stated = [Decimal(announced.get(name, ZERO)) for name in ANNOUNCED]
        deviation = "+".join(
            f"ABS({column_letter[name]}{row}-{column_letter[f'announced_{name}']}{row})"
            for name in ANNOUNCED
        )
        difference = sum(
            (abs(values[name] - said) for name, said in zip(ANNOUNCED, stated, strict=True)), ZERO
        )
        self.control.write(
            [
                currency,
                *(Formula(texts[name][0], values[name], texts[name][1]) for name in COUNTED),
                by_rate,
                *stated,
                Formula(f"ROUND({deviation},4)", difference, shown),
            ],
            shown,
        )


def _document_cells(document: ClosedDocument) -> dict[str, Cell]:
    """Return the cells of a document's row except its sums."""
    return {
        "invoice_number": document.invoice_number,
        "document_type": document.document_type,
        "billing_company": document.billing_company,
        "account_name": document.account_name,
        "buyer": document.buyer.name,
        "buyer_tax_id": document.buyer.tax_id,
        "invoice_date": document.invoice_date,
        "due_date": document.due_date,
        "cut_off_date": document.cut_off_date,
        "service_from": document.service_from,
        "service_to": document.service_to,
        "payment_terms": document.payment_terms,
        "po_number": document.po_number,
        "corrects": "; ".join(
            f"{each.number} of {each.invoice_date.isoformat()}" for each in document.corrects
        ),
        "tax_regime": document.tax_regime,
        "tax_wording": document.tax_wording,
        "currency": document.currency,
        "content_hash": document.content_hash,
    }


def _line_cells(document: ClosedDocument, line: ClosedLine) -> tuple[Cell, ...]:
    """Return the cells of a line in the order of the CSV columns."""
    requirement = document.names.requirement(line.requirement_id)
    return (
        document.invoice_number,
        document.document_type,
        document.billing_company,
        document.account_name,
        document.invoice_date,
        document.due_date,
        document.currency,
        line.line_no,
        line.description,
        line.worker_id,
        line.week_ending,
        line.service_from,
        line.service_to,
        line.time_type,
        line.quantity,
        line.unit,
        line.unit_price,
        line.amount,
        line.tax_code,
        line.tax_rate,
        line.tax_amount,
        line.po_number,
        line.document_id,
        line.pay_line_id,
        line.corrects_invoice,
        line.corrects_line,
        line.project,
        line.cost_center,
        document.names.workers.get(line.worker_id),
        line.requirement_id,
        requirement.reference,
        requirement.client_contact,
        requirement.client_reference,
        line.allowance_amount,
    )
