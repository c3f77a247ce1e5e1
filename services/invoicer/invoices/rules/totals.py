"""Tax and totals of documents, with exact decimals.

The store computes the same for millions of lines in SQL; a generated test compares the two.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from itertools import zip_longest
from typing import NamedTuple

from services.invoicer.debtors.rules.companies import TaxRate
from shared.money import ZERO, plain, rounded

FOREVER = date(9999, 12, 31)
HUNDRED = Decimal(100)


class TaxSpan(NamedTuple):
    """A tax rate and the dates between which it applies, the last one not included."""

    tax_code: str
    from_date: date
    to_date: date
    percent: Decimal


def tax_spans(rates: Iterable[TaxRate]) -> list[TaxSpan]:
    """Return the rates of a company as spans: each applies until the next one of its code."""
    ordered = sorted(rates, key=lambda rate: (rate.tax_code, rate.from_date))
    spans = []
    for rate, following in zip_longest(ordered, ordered[1:]):
        is_last = following is None or following.tax_code != rate.tax_code
        until = FOREVER if is_last else following.from_date
        spans.append(TaxSpan(rate.tax_code, rate.from_date, until, rate.percent))
    return spans


def credit_taxes(
    amount: Decimal,
    tax: Decimal,
    credited: Decimal,
    tax_credited: Decimal,
    credits: Sequence[Decimal],
    currency: str,
) -> list[Decimal]:
    """Return the tax of the credits of one invoice line, in order; or their allowances.

    In proportion, never more than is left of the line; the last credit takes the rest. `amount` and
    `tax` are those of the invoice line; `credited` and `tax_credited` (negative) are earlier
    credits; `credits` are negative.
    """
    sign = -1 if tax < 0 else 1
    rest = abs(tax + tax_credited)
    taxes: list[Decimal] = []
    running, taken = ZERO, ZERO
    for credit in credits:
        running += credit
        share = abs(rounded(tax * credit / amount, currency)) if amount else ZERO
        upto = rest if amount and amount + credited + running == 0 else min(rest, taken + share)
        taxes.append(-sign * (upto - taken))
        taken = upto
    return taxes


class TaxPart(NamedTuple):
    """Net, after allowances, and tax of one tax code and rate on a document."""

    code: str
    rate: Decimal
    net: Decimal
    tax: Decimal


class AllowancePart(NamedTuple):
    """A discount or surcharge on the lines of one tax code and rate of a document.

    `base` is what the lines were before it, `amount` is negative if it lowers the debt. `percent`
    is None where the amount is not a percentage of the base: a fixed amount, or the share of the
    allowances of an invoice that credits take back.
    """

    name: str
    code: str
    rate: Decimal
    base: Decimal
    percent: Decimal | None
    amount: Decimal

    def row(self, currency: str) -> dict[str, str | None]:
        """The allowance as it is stored and published: decimals as strings."""
        return {
            "name": self.name,
            "code": self.code,
            "rate": plain(self.rate),
            "base": str(rounded(self.base, currency)),
            "percent": None if self.percent is None else plain(self.percent),
            "amount": str(rounded(self.amount, currency)),
        }


def allowances_of(invoice_number: str) -> str:
    """Return the name of what credits take back of the allowances of an invoice."""
    return f"allowances of {invoice_number}"


class CurrencySum(NamedTuple):
    """Totals of documents in one currency; credits count negative."""

    currency: str
    documents: int
    lines: int
    net: Decimal
    tax: Decimal

    @property
    def row(self) -> dict[str, object]:
        """The totals as they are stored and published: amounts as decimal strings."""
        sums = {"net": self.net, "tax": self.tax, "total": self.net + self.tax}
        return {"currency": self.currency, "documents": self.documents, "lines": self.lines} | {
            name: str(rounded(value, self.currency)) for name, value in sums.items()
        }


def totals(documents: Iterable[tuple[str, int, Decimal, Decimal]]) -> list[CurrencySum]:
    """Return the sums per currency of (currency, lines, net, tax)."""
    sums: dict[str, CurrencySum] = {}
    for currency, lines, net, tax in documents:
        so_far = sums.get(currency, CurrencySum(currency, 0, 0, ZERO, ZERO))
        sums[currency] = CurrencySum(
            currency,
            so_far.documents + 1,
            so_far.lines + lines,
            so_far.net + net,
            so_far.tax + tax,
        )
    return [sums[currency] for currency in sorted(sums)]
