"""CSV files of closed documents as a layout says, a row at a time.

Free text is written on one line; a character that the encoding lacks becomes a question mark. A
text that another system looks up is a key: one that would change is a problem, and so are a text
that is too long and a value for which the layout has no word. Text that a spreadsheet would take
for a formula gets an apostrophe, as in our own CSV (`csv`).
"""

import csv
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from shared.errors import Refused
from shared.money import plain
from shared.render.csv import Echo, safe_text
from shared.render.layout import MOST_PROBLEMS, SHOWN, Layout, LayoutColumn
from shared.render.layout_fields import FIELDS, Field, Row
from shared.render.text import LOOKALIKES, one_line
from shared.terms import ClosedDocument, ClosedLine, TaxTotal, counted


class LayoutRows:
    """The rows of one file: `opening`, then for each document `begin`, its lines and `end`."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.problems: list[str] = []
        self._known: set[tuple[int, str]] = set()
        self._writer = csv.writer(
            Echo(), delimiter=layout.separator, lineterminator=layout.line_end
        )

    def opening(self) -> Iterator[str]:
        """Yield the headings, if the file has them."""
        if self.layout.header:
            yield self._record([each.heading for each in self.layout.columns])

    def begin(
        self, document: ClosedDocument, codes: Mapping[str, str] | None = None
    ) -> Iterator[str]:
        """Yield the rows of a document that are not of a line.

        `codes`: what a ledger connection maps. Refused if its taxes do not add up to its sums.
        """
        taxes = document.tax_totals
        if self.layout.rows != "line" and (
            sum(each.net for each in taxes),
            sum(each.tax for each in taxes),
        ) != (document.net, document.tax):
            raise Refused(
                "control_totals_differ",
                f"{document.invoice_number}: its taxes do not add up to its net and tax",
                "run `backoffice verify`; no file was kept",
            )
        if self.layout.rows == "document":
            if 0 < self.layout.parts < len(taxes):
                self.problems.append(
                    f"{document.invoice_number}: it has {counted(len(taxes), 'tax code')}, and the"
                    f" layout has columns for {self.layout.parts}"
                )
            yield self._row(Row(document, None, taxes, codes or {}))
        elif self.layout.rows == "tax":
            for each in taxes:
                yield self._row(Row(document, None, (each,), codes or {}))

    def line(
        self, document: ClosedDocument, line: ClosedLine, codes: Mapping[str, str] | None = None
    ) -> str:
        """Return the row of a line; nothing where rows are not of lines."""
        if self.layout.rows != "line":
            return ""
        net = line.amount + line.allowance_amount
        tax = TaxTotal(line.tax_code, line.tax_rate, net, line.tax_amount)
        return self._row(Row(document, line, (tax,), codes or {}))

    def end(self, document: ClosedDocument) -> Iterator[str]:
        """Yield nothing: a document has no last row."""
        yield from ()

    def require_no_problem(self) -> None:
        """Refuse the file if something in it does not fit the layout; the message names it."""
        if self.problems:
            more = len(self.problems) - MOST_PROBLEMS
            rest = [f"and {counted(more, 'more problem')}"] if more > 0 else []
            raise Refused(
                "not_in_this_layout",
                "; ".join([*self.problems[:MOST_PROBLEMS], *rest]),
                "change the column in the layout: its values, its length or its encoding",
                problems=self.problems[:MOST_PROBLEMS],
            )

    def _record(self, cells: list[str]) -> str:
        record: str = self._writer.writerow(cells)
        return record

    def _row(self, row: Row) -> str:
        signs = self.layout.signs
        of_document = row.document.sign if signs != "signed" else 1
        of_row = (-1 if row.total < 0 else 1) if signs == "row" else of_document
        cells = []
        for at, column in enumerate(self.layout.columns, 1):
            try:
                cells.append(self._cell(column, row, of_row, of_document))
            except ValueError as problem:
                line = f" line {row.line.line_no}" if row.line else ""
                where = f"{row.document.invoice_number}{line}, column {at} ({column.heading})"
                self._add(at, where, str(problem))
                cells.append("")
        return self._record(cells)

    def _add(self, column: int, where: str, problem: str) -> None:
        """Keep a problem where it is met first; of many, only those that are shown and one more."""
        if (column, problem) not in self._known and len(self.problems) <= MOST_PROBLEMS:
            self._known.add((column, problem))
            self.problems.append(f"{where}: {problem}")

    def _cell(self, column: LayoutColumn, row: Row, of_row: int, of_document: int) -> str:
        """Return a cell. Raises ValueError with what does not fit."""
        if not column.field:
            return column.text
        field = FIELDS[column.field]
        value = _value(field, column, row)
        if value is None:
            return ""
        if field.kind == "date":
            assert isinstance(value, date)
            return value.strftime(column.dates or self.layout.dates)
        if isinstance(value, Decimal):
            sign = {"amount": of_row, "quantity": of_row, "document amount": of_document}
            return self._figure(sign.get(field.kind, 1) * value, field)
        text = str(value)
        if column.values is not None or column.otherwise is not None:
            return self._word(column, text)
        return self._text(text, field, column)

    def _figure(self, value: Decimal, field: Field) -> str:
        exact = field.kind in ("amount", "document amount")
        text = format(value or abs(value), "f") if exact else plain(value)
        return text.replace(".", self.layout.decimal)

    def _word(self, column: LayoutColumn, text: str) -> str:
        word = (column.values or {}).get(text, column.otherwise)
        if word is None:
            raise ValueError(
                f"{column.field} is {text[:SHOWN]!r}, and values has no word for it:"
                " add it, or otherwise"
            )
        return self._long_enough(word, column)

    def _text(self, text: str, field: Field, column: LayoutColumn) -> str:
        encoding = self.layout.encoding
        if field.kind == "text":
            text = one_line(text)
            if encoding == "cp1252":
                text = text.translate(LOOKALIKES).encode(encoding, "replace").decode(encoding)
            safe = safe_text(text)
            return self._long_enough(safe[: column.cut] if column.cut else safe, column)
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            raise ValueError(
                f"{text[:SHOWN]!r} has a character that {encoding} cannot carry"
            ) from None
        return self._long_enough(safe_text(text), column)

    def _long_enough(self, text: str, column: LayoutColumn) -> str:
        if column.most is not None and len(text) > column.most:
            raise ValueError(f"{text[:SHOWN]!r} has more than {column.most} characters")
        return text


def _value(field: Field, column: LayoutColumn, row: Row) -> Any:
    """Return what a row has in a field; None for a tax that the document has not."""
    if field.of_tax is not None:
        tax = row.tax_of(column.part)
        return None if tax is None else field.of_tax(tax)
    assert field.read is not None
    return field.read(row)
