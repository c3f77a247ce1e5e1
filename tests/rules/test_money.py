"""Money: decimal only, rounded in one place, parts sum to the whole."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import (
    ZERO,
    currencies_without_two_decimals,
    known_currency,
    minor_unit,
    plain,
    rounded,
    split,
)

CENT = Decimal("0.01")
amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=2)


@pytest.mark.parametrize(
    ("currency", "step"),
    [
        ("JPY", "1"),
        ("USD", "0.01"),
        ("EUR", "0.01"),
        ("KWD", "0.001"),
        ("CLP", "1"),
        ("BHD", "0.001"),
    ],
)
def test_the_minor_unit_is_the_currencys(currency: str, step: str) -> None:
    """JPY has none, USD two decimals, KWD three."""
    assert minor_unit(currency) == Decimal(step)


@pytest.mark.parametrize(
    ("quantity", "price", "currency", "amount"),
    [
        ("2", "35.0350", "USD", "70.07"),
        ("1", "35.0350", "USD", "35.04"),
        ("-1", "35.0350", "USD", "-35.04"),
        ("7.5", "33.33", "USD", "249.98"),
        ("0.25", "33.33", "USD", "8.33"),
        ("7.25", "33.33", "USD", "241.64"),
        ("0.5", "1", "JPY", "1"),
        ("1.5", "1.0005", "KWD", "1.501"),
        ("0", "50.00", "USD", "0.00"),
    ],
)
def test_a_line_is_quantity_times_price_rounded_half_up(
    quantity: str, price: str, currency: str, amount: str
) -> None:
    """Half up, below zero away from zero.

    So a credit mirrors its debit.
    """
    assert rounded(Decimal(quantity) * Decimal(price), currency) == Decimal(amount)


@given(amounts)
def test_a_credit_mirrors_its_debit(amount: Decimal) -> None:
    """Rounding the negative gives the negative of the rounded."""
    assert rounded(-amount / 3, "USD") == -rounded(amount / 3, "USD")


def test_a_hundred_in_three_parts() -> None:
    """100.00 in three is 33.34, 33.33, 33.33."""
    assert split(Decimal("100.00"), [Decimal(1)] * 3, CENT) == [
        Decimal("33.34"),
        Decimal("33.33"),
        Decimal("33.33"),
    ]


def test_half_and_half_of_a_fee() -> None:
    """20 % of 100,000.00 in halves is twice 10,000.00."""
    assert split(Decimal("20000.00"), [Decimal(50), Decimal(50)], CENT) == [Decimal("10000.00")] * 2


@given(
    amounts, st.lists(st.decimals(min_value=0, max_value=1000, places=4), min_size=1, max_size=30)
)
def test_parts_sum_to_the_whole(total: Decimal, weights: list[Decimal]) -> None:
    """Parts are whole cents, within a cent of the exact share, of one sign."""
    parts = split(total, weights, CENT)
    assert sum(parts, ZERO) == total
    assert len(parts) == len(weights)
    whole = sum(weights, ZERO)
    for part, weight in zip(parts, weights, strict=True):
        assert part == part.quantize(CENT)
        assert part * total >= 0
        if whole:
            assert abs(part - total * weight / whole) < CENT + Decimal("1e-9")


def test_equal_remainders_go_to_the_earlier_part() -> None:
    """0.05 in two is 0.03 and 0.02."""
    assert split(Decimal("0.05"), [Decimal(1), Decimal(1)], CENT) == [
        Decimal("0.03"),
        Decimal("0.02"),
    ]


@pytest.mark.parametrize(
    ("total", "weights", "parts"), [("5.00", [], []), ("5.00", ["0", "0"], ["5.00", "0"])]
)
def test_no_weights_or_zero_weights(total: str, weights: list[str], parts: list[str]) -> None:
    """Without parts nothing; with zero weights the first part has all."""
    assert split(Decimal(total), [Decimal(one) for one in weights], CENT) == [
        Decimal(one) for one in parts
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("40.0", "40"),
        ("40", "40"),
        ("1E+3", "1000"),
        ("0.0000", "0"),
        ("-0.0", "0"),
        ("31.8500", "31.85"),
        ("-2.50", "-2.5"),
    ],
)
def test_one_value_is_written_in_one_way(value: str, text: str) -> None:
    """40 is 40.0: no exponent and no trailing zeros."""
    assert plain(Decimal(value)) == text


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12
    )
)
def test_the_plain_form_reads_back(value: Decimal) -> None:
    """A written value is read back exactly."""
    assert Decimal(plain(value)) == value


@pytest.mark.parametrize(
    ("code", "known"),
    [("USD", True), ("EUR", True), ("XXQ", False), ("usd", False), ("", False), ("EURO", False)],
)
def test_only_currencies_of_the_standard_are_known(code: str, known: bool) -> None:
    """Three capital letters of ISO 4217."""
    assert known_currency(code) is known


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        ("100", ["1", "2"], ["33", "67"]),
        ("10", ["5.4", "4.6"], ["5", "5"]),
        ("-10", ["5.4", "4.6"], ["-5", "-5"]),
        ("0", ["1", "2"], ["0", "0"]),
    ],
)
def test_the_largest_remainder_gets_the_rest(
    total: str, weights: list[str], parts: list[str]
) -> None:
    """Not the largest share. A part of nothing has no sign."""
    found = split(Decimal(total), [Decimal(weight) for weight in weights], Decimal(1))
    assert [str(part) for part in found] == parts


def test_currencies_that_do_not_count_in_cents() -> None:
    """The yen has no decimals, the dinar of Kuwait three; those with two are not listed."""
    decimals = dict(currencies_without_two_decimals())
    assert (decimals["JPY"], decimals["KWD"]) == (0, 3)
    assert not {"USD", "EUR", "GBP"} & decimals.keys()
    assert 2 not in decimals.values()
