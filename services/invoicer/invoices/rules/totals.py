"""Tax and totals of documents (domain rules 7). Exact decimals; the store does the same for millions of lines in SQL, and a generated
test holds the two together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple

from services.invoicer.debtors.rules.companies import TaxRate
from shared.money import ZERO, minor_unit, rounded

FOREVER = date(9999, 12, 31)
HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class TaxSpan:
    """A tax rate with the dates between which it is in force, the last one not included."""

    tax_code: str
    from_date: date
    to_date: date
    percent: Decimal


def tax_spans(rates: Iterable[TaxRate]) -> list[TaxSpan]:
    """The rates of a billing company as spans: each holds until the next of its code."""
    ordered = sorted(rates, key=lambda rate: (rate.tax_code, rate.from_date))
    spans = []
    for at, rate in enumerate(ordered):
        following = ordered[at + 1] if at + 1 < len(ordered) else None
        until = (
            following.from_date
            if following is not None and following.tax_code == rate.tax_code
            else FOREVER
        )
        spans.append(TaxSpan(rate.tax_code, rate.from_date, until, rate.percent))
    return spans


def rate_on(spans: Iterable[TaxSpan], tax_code: str, effective_date: date) -> Decimal | None:
    """The percent of a code on an effective date. No code is no tax; None: the code has no rate on that date."""
    if not tax_code:
        return ZERO
    return next(
        (
            span.percent
            for span in spans
            if span.tax_code == tax_code and span.from_date <= effective_date < span.to_date
        ),
        None,
    )


def line_tax(amount: Decimal, percent: Decimal, currency: str) -> Decimal:
    """Tax of one line, rounded half up."""
    return rounded(amount * percent / HUNDRED, currency)


def document_tax(amounts: Sequence[Decimal], percent: Decimal, currency: str) -> list[Decimal]:
    """Tax of the lines of one code and rate on a document, computed over their sum and spread by largest remainder.

    25.06, 25.61, 25.63 at 15 % give 3.76, 3.84, 3.85 = 11.45. Equal remainders go to the earlier line.
    """
    step = minor_unit(currency)
    exact = [amount * percent / HUNDRED for amount in amounts]
    floors = [(share / step).to_integral_value(ROUND_FLOOR) * step for share in exact]
    whole = rounded(sum(amounts, ZERO) * percent / HUNDRED, currency)
    left = int((whole - sum(floors, ZERO)) / step)
    by_remainder = sorted(range(len(amounts)), key=lambda at: (-(exact[at] - floors[at]), at))
    for at in by_remainder[:left]:
        floors[at] += step
    return floors


def credit_taxes(
    amount: Decimal,
    tax: Decimal,
    credited: Decimal,
    tax_credited: Decimal,
    credits: Sequence[Decimal],
    currency: str,
) -> list[Decimal]:
    """Tax of the credits of one invoice line, in order: in proportion, never more than stands on the line; the last takes the rest.

    `amount` and `tax` are those of the invoice line; `credited`, `tax_credited` (negative) went before; `credits` are negative.
    """
    sign = -1 if tax < 0 else 1
    rest = abs(tax + tax_credited)
    found: list[Decimal] = []
    running, taken = ZERO, ZERO
    for credit in credits:
        running += credit
        share = abs(rounded(tax * credit / amount, currency)) if amount else ZERO
        upto = rest if amount and amount + credited + running == 0 else min(rest, taken + share)
        found.append(-sign * (upto - taken))
        taken = upto
    return found


class TaxPart(NamedTuple):
    """Net and tax of one tax code and rate on a document."""

    code: str
    rate: Decimal
    net: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class CurrencySum:
    """Totals of documents in one currency; credits count negative."""

    currency: str
    documents: int
    lines: int
    net: Decimal
    tax: Decimal

    @property
    def row(self) -> dict[str, object]:
        """As it is stored and said: amounts as decimal strings at the currency's minor unit."""
        sums = {"net": self.net, "tax": self.tax, "total": self.net + self.tax}
        return {"currency": self.currency, "documents": self.documents, "lines": self.lines} | {
            name: str(rounded(value, self.currency)) for name, value in sums.items()
        }


def totals(documents: Iterable[tuple[str, int, Decimal, Decimal]]) -> list[CurrencySum]:
    """Sums per currency of (currency, lines, net, tax)."""
    found: dict[str, list[tuple[int, Decimal, Decimal]]] = {}
    for currency, lines, net, tax in documents:
        found.setdefault(currency, []).append((lines, net, tax))
    return [_sum(currency, found[currency]) for currency in sorted(found)]


def _sum(currency: str, documents: Sequence[tuple[int, Decimal, Decimal]]) -> CurrencySum:
    lines, nets, taxes = zip(*documents, strict=True)
    return CurrencySum(currency, len(documents), sum(lines), sum(nets, ZERO), sum(taxes, ZERO))
