"""Numbers and dates of documents."""

from datetime import date

import pytest

from services.invoicer.invoices.rules.numbers import (
    NumberingStart,
    NumberJump,
    Series,
    exceeds_width,
    first_number,
    format_number,
    invoice_date,
)
from shared.errors import Refused

TODAY = date(2026, 8, 15)
NEW = Series("INV-", 6)
USED = Series("INV-", 6, next_number=8, last_date=date(2026, 8, 1))


def test_the_first_batch_may_start_anywhere() -> None:
    """The first batch may start anywhere, without a reason and without a jump."""
    assert first_number(NEW, None, "") == NumberingStart(1)
    assert first_number(NEW, 5000, "") == NumberingStart(5000)


def test_a_later_batch_continues_the_series() -> None:
    """Gapless."""
    assert first_number(USED, None, "") == NumberingStart(8)
    assert first_number(USED, 8, "") == NumberingStart(8)


def test_numbers_passed_over_are_a_declared_jump() -> None:
    """A first number set later, with a reason, declares the numbers that it
    passes over.
    """
    assert first_number(USED, 100, "new fiscal year") == NumberingStart(100, NumberJump(8, 99))


@pytest.mark.parametrize("wanted", [1, 7])
def test_a_used_number_is_refused_with_the_next_free_one(wanted: int) -> None:
    """It must be above every number of the series; the refusal names the next
    free number.
    """
    with pytest.raises(Refused, match=r"the next free one is 8 \(INV-000008\)") as refused:
        first_number(USED, wanted, "because")
    assert refused.value.code == "number_used"
    assert refused.value.details["next_free"] == 8


def test_refusals_name_numbers_as_documents_show_them() -> None:
    """Issue 11, 22: both numbers, a series without a prefix in words, and what a jump needs."""
    bare = Series("", 3, next_number=8, last_date=date(2026, 8, 1))
    with pytest.raises(Refused) as used:
        first_number(bare, 5, "because")
    assert used.value.message == (
        "first number 5 (005) is not above every number of the series without a prefix:"
        " the next free one is 8 (008)"
    )
    assert used.value.fix.endswith("give 8; a higher one skips numbers, which needs --reason")
    with pytest.raises(Refused) as jump:
        first_number(USED, 5008, "")
    assert jump.value.message == (
        "first number 5008 (INV-005008) skips 5,000 numbers from 8 (INV-000008) on;"
        " that needs a reason"
    )


def test_a_jump_needs_a_reason() -> None:
    """With a reason."""
    with pytest.raises(Refused, match="needs a reason") as refused:
        first_number(USED, 100, " ")
    assert refused.value.code == "reason_missing"


def test_a_number_has_at_least_the_width_of_its_series() -> None:
    """Prefix and width; more digits when they are needed."""
    assert format_number("INV-", 6, 42) == "INV-000042"
    assert format_number("", 2, 1234) == "1234"
    assert exceeds_width(Series("A", 2, next_number=98), 3)
    assert not exceeds_width(Series("A", 2, next_number=98), 2)
    assert not exceeds_width(Series("A", 2, next_number=100), 0)
    assert not exceeds_width(Series("A", 2, next_number=101), 0)
    assert exceeds_width(Series("A", 2, next_number=100), 1)


def test_the_date_of_documents_never_goes_back_and_never_ahead() -> None:
    """Today's local date or the one given; not before the last date in the
    series, not after today.
    """
    assert invoice_date(None, TODAY, USED) == TODAY
    assert invoice_date(date(2026, 8, 1), TODAY, USED) == date(2026, 8, 1)
    assert invoice_date(date(2020, 1, 1), TODAY, NEW) == date(2020, 1, 1)
    with pytest.raises(Refused, match="last document of series 'INV-'") as back:
        invoice_date(date(2026, 7, 31), TODAY, USED)
    assert back.value.code == "date_goes_back"
    with pytest.raises(Refused, match="after today") as ahead:
        invoice_date(date(2026, 8, 16), TODAY, USED)
    assert ahead.value.code == "date_in_future"
