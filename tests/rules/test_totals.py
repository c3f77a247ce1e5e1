"""Tax and totals of documents, and the taxes of credits."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.invoicer.debtors.rules.companies import TaxRate
from services.invoicer.invoices.rules.totals import credit_taxes, tax_spans, totals
from shared.money import minor_unit, rounded
from tests.twins import document_tax, line_tax, rate_on

D = Decimal
CENTS = st.decimals(min_value=-5000, max_value=5000, places=2, allow_nan=False)
PERCENTS = st.sampled_from([D(0), D("6.25"), D("8.875"), D(15), D(21)])


def test_the_rate_in_force_on_the_effective_date_applies() -> None:
    """Rates with dates; a code without a rate on that date has none; no code is
    no tax.
    """
    spans = tax_spans(
        [
            TaxRate("VAT", date(2026, 1, 1), D(21)),
            TaxRate("VAT", date(2020, 1, 1), D(19)),
            TaxRate("LOW", date(2020, 1, 1), D(9)),
        ]
    )
    assert rate_on(spans, "VAT", date(2025, 12, 31)) == D(19)
    assert rate_on(spans, "VAT", date(2026, 1, 1)) == D(21)
    assert rate_on(spans, "LOW", date(2090, 1, 1)) == D(9)
    assert rate_on(spans, "VAT", date(2019, 12, 31)) is None
    assert rate_on(spans, "GST", date(2026, 1, 1)) is None
    assert rate_on(spans, "", date(2026, 1, 1)) == 0


def test_tax_per_line_and_per_document() -> None:
    """25.06, 25.61, 25.63 at 15 % are 11.44 per line and 11.45 per document."""
    amounts = [D("25.06"), D("25.61"), D("25.63")]
    assert [line_tax(amount, D(15), "USD") for amount in amounts] == [
        D("3.76"),
        D("3.84"),
        D("3.84"),
    ]
    assert document_tax(amounts, D(15), "USD") == [D("3.76"), D("3.84"), D("3.85")]


def test_equal_remainders_go_to_the_earlier_line() -> None:
    """Three lines of 0.10 at 15 % are 0.045 = 0.05: 0.02, 0.02, 0.01."""
    assert document_tax([D("0.10")] * 3, D(15), "USD") == [D("0.02"), D("0.02"), D("0.01")]


@given(st.lists(CENTS, min_size=1, max_size=30), PERCENTS, st.sampled_from(["USD", "JPY", "KWD"]))
def test_parts_of_a_documents_tax_sum_to_the_whole(
    amounts: list[Decimal], percent: Decimal, currency: str
) -> None:
    """Spread by largest remainder; no part is more than one step away from its
    own share.
    """
    parts = document_tax(amounts, percent, currency)
    assert sum(parts) == rounded(sum(amounts, D(0)) * percent / 100, currency)
    assert all(
        abs(part - amount * percent / 100) <= minor_unit(currency)
        for part, amount in zip(parts, amounts, strict=True)
    )


def test_crediting_a_part_gives_tax_in_proportion_and_the_last_credit_takes_the_rest() -> None:
    """100.00 with 8.88 tax, credited by thirds: 2.96 each; what is left goes
    with the last.
    """
    assert credit_taxes(D(100), D("8.88"), D(0), D(0), [D("-33.33")], "USD") == [D("-2.96")]
    assert credit_taxes(
        D(100), D("8.88"), D("-33.33"), D("-2.96"), [D("-33.33"), D("-33.34")], "USD"
    ) == [D("-2.96"), D("-2.96")]
    assert credit_taxes(D("0.04"), D("0.02"), D(0), D(0), [D("-0.01")] * 4, "USD") == [
        D("-0.01"),
        D("-0.01"),
        D(0),
        D(0),
    ]
    assert credit_taxes(D(0), D(0), D(0), D(0), [D(0)], "USD") == [D(0)]
    # A line below zero, credited by thirds: the signs turn.
    assert credit_taxes(D(-100), D("-8.88"), D(0), D(0), [D("33.33")] * 2, "USD") == [D("2.96")] * 2
    assert credit_taxes(D(-100), D("-8.88"), D("33.33"), D("2.95"), [D("66.67")], "USD") == [
        D("5.93")
    ]


@given(
    st.lists(st.decimals(min_value="0.01", max_value=500, places=2), min_size=1, max_size=12),
    PERCENTS,
)
def test_credits_of_a_whole_line_take_exactly_its_tax(
    parts: list[Decimal], percent: Decimal
) -> None:
    """A line that is used up gives all its quantity, money and tax."""
    amount = sum(parts, D(0))
    tax = line_tax(amount, percent, "USD")
    credited = credit_taxes(amount, tax, D(0), D(0), [-part for part in parts], "USD")
    assert sum(credited) == -tax
    assert all(each <= 0 for each in credited)


def test_totals_are_kept_apart_by_currency() -> None:
    """One document has one currency; credits count negative."""
    found = totals(
        [("USD", 2, D(100), D(8)), ("EUR", 1, D(50), D(0)), ("USD", 1, D(-30), D("-2.4"))]
    )
    assert [each.row for each in found] == [
        {
            "currency": "EUR",
            "documents": 1,
            "lines": 1,
            "net": "50.00",
            "tax": "0.00",
            "total": "50.00",
        },
        {
            "currency": "USD",
            "documents": 2,
            "lines": 3,
            "net": "70.00",
            "tax": "5.60",
            "total": "75.60",
        },
    ]


@pytest.mark.parametrize(
    ("currency", "expected"), [("JPY", "3"), ("USD", "2.51"), ("KWD", "2.506")]
)
def test_tax_is_rounded_to_the_currencys_minor_unit(currency: str, expected: str) -> None:
    """JPY 0, USD 2, KWD 3."""
    assert line_tax(D("25.06"), D(10), currency) == D(expected)
