"""Control totals of a file: the sums of its lines, and the sums that its documents state.

These are two independent sums, because a file that lost a line would otherwise agree with itself.
Signs as in `terms`. Memory is one row per currency, for any number of lines.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from shared.money import ZERO
from shared.terms import ClosedDocument, ClosedLine


@dataclass(frozen=True, slots=True)
class CurrencyTotals:
    """Sums of the lines in one currency; `net` is after allowances, `total` is net plus tax."""

    documents: int = 0
    lines: int = 0
    quantity: Decimal = ZERO
    net: Decimal = ZERO
    tax: Decimal = ZERO
    total: Decimal = ZERO


@dataclass(slots=True)
class ControlTotals:
    """Counts one file: call `add_document` once per document and `add_line` for each line."""

    by_currency: dict[str, CurrencyTotals] = field(default_factory=dict)
    expected: dict[str, CurrencyTotals] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """Number of documents in the file, all currencies."""
        return sum(each.documents for each in self.by_currency.values())

    @property
    def lines(self) -> int:
        """Number of lines in the file, all currencies."""
        return sum(each.lines for each in self.by_currency.values())

    def add_document(self, document: ClosedDocument) -> None:
        """Count a document and the sums that it states."""
        counted = self.by_currency.get(document.currency, CurrencyTotals())
        self.by_currency[document.currency] = replace(counted, documents=counted.documents + 1)
        head = self.expected.get(document.currency, CurrencyTotals())
        self.expected[document.currency] = replace(
            head,
            documents=head.documents + 1,
            lines=head.lines + document.line_count,
            net=head.net + document.net,
            tax=head.tax + document.tax,
            total=head.total + document.total,
        )

    def add_line(self, currency: str, line: ClosedLine) -> None:
        """Count a line of a document in that currency."""
        counted = self.by_currency.get(currency, CurrencyTotals())
        self.by_currency[currency] = CurrencyTotals(
            counted.documents,
            counted.lines + 1,
            counted.quantity + line.quantity,
            counted.net + line.amount + line.allowance_amount,
            counted.tax + line.tax_amount,
            counted.total + line.amount + line.allowance_amount + line.tax_amount,
        )

    def mismatches(self) -> list[str]:
        """Return a message for each figure where lines and documents differ."""
        found: list[str] = []
        for currency, head in sorted(self.expected.items()):
            counted = self.by_currency[currency]
            for name in ("lines", "net", "tax", "total"):
                written, expected = getattr(counted, name), getattr(head, name)
                if written != expected:
                    found.append(
                        f"{currency}: the file's lines have {name} {written}, the heads of its"
                        f" documents state {expected};"
                        " do not use the file, run `backoffice verify`, which names the documents"
                    )
        return found
