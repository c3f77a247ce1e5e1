"""Dates without a clock: a company's local day, due dates by terms."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.calendar import (
    day_of_month,
    describe_payment_terms,
    due_date,
    is_time_zone,
    local_date,
    month_end,
    next_month,
)

days = st.dates(min_value=date(1970, 1, 1), max_value=date(2900, 1, 1))


@pytest.mark.parametrize(
    ("invoice_date", "terms", "due"),
    [
        ("2026-08-15", "on-receipt", "2026-08-15"),
        ("2026-08-15", "net:15", "2026-08-30"),
        ("2026-08-15", "net:0", "2026-08-15"),
        ("2026-12-15", "net:30", "2027-01-14"),
        ("2026-08-15", "end-of-next-month", "2026-09-30"),
        ("2026-12-31", "end-of-next-month", "2027-01-31"),
        ("2028-01-31", "end-of-next-month", "2028-02-29"),
        ("2026-02-10", "day:31", "2026-02-28"),
        ("2026-08-20", "day:15", "2026-09-15"),
        ("2026-08-15", "day:15", "2026-08-15"),
        ("2026-12-20", "day:15", "2027-01-15"),
        ("2026-02-28", "day:31", "2026-02-28"),
    ],
)
def test_due_dates_by_terms(invoice_date: str, terms: str, due: str) -> None:
    """Examples of payment terms, and the ends of months and years."""
    assert due_date(date.fromisoformat(invoice_date), terms) == date.fromisoformat(due)


@given(
    days,
    st.sampled_from(
        ["on-receipt", "net:0", "net:30", "end-of-next-month", "day:1", "day:15", "day:31"]
    ),
)
def test_nothing_falls_due_before_its_date(invoice_date: date, terms: str) -> None:
    """The due date is never before the document's date."""
    assert due_date(invoice_date, terms) >= invoice_date


def test_unknown_terms_are_refused_with_the_known_ones() -> None:
    """The message lists the known terms."""
    with pytest.raises(ValueError, match="on-receipt, net:N, end-of-next-month, day:N"):
        due_date(date(2026, 1, 1), "soon")


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ("on-receipt", "Due on receipt"),
        ("net:30", "Net 30 days"),
        ("end-of-next-month", "End of next month"),
        ("day:15", "Day 15 of the month"),
    ],
)
def test_terms_in_words(terms: str, words: str) -> None:
    """Payment terms as a document prints them."""
    assert describe_payment_terms(terms) == words


@pytest.mark.parametrize(
    ("instant", "zone", "day"),
    [
        (datetime(2026, 3, 8, 4, 59, tzinfo=UTC), "America/New_York", "2026-03-07"),
        (datetime(2026, 3, 8, 5, 0, tzinfo=UTC), "America/New_York", "2026-03-08"),
        (datetime(2026, 3, 9, 3, 59, tzinfo=UTC), "America/New_York", "2026-03-08"),
        (datetime(2026, 3, 9, 4, 0, tzinfo=UTC), "America/New_York", "2026-03-09"),
        (datetime(2026, 12, 31, 11, 0, tzinfo=UTC), "Pacific/Auckland", "2027-01-01"),
        (datetime(2028, 2, 28, 23, 30, tzinfo=UTC), "Europe/Amsterdam", "2028-02-29"),
    ],
    ids=[
        "before midnight",
        "midnight in winter time",
        "before midnight, clocks went forward",
        "midnight in summer time",
        "year end",
        "29 February",
    ],
)
def test_the_local_day_of_a_company(instant: datetime, zone: str, day: str) -> None:
    """A day begins at the company's local midnight, also at clock changes."""
    assert local_date(instant, zone) == date.fromisoformat(day)


@given(days)
def test_the_end_of_a_month_is_followed_by_the_next(day: date) -> None:
    """The day after a month's end is the next first."""
    assert month_end(day) + timedelta(days=1) == date(*next_month(day), 1)
    assert month_end(day) >= day


def test_a_day_that_a_month_does_not_have() -> None:
    """31 in February is the 28th, or the 29th in a leap year."""
    assert [day_of_month(year, 2, 31).day for year in (2026, 2028)] == [28, 29]


@pytest.mark.parametrize(
    ("zone", "known"),
    [("Europe/Amsterdam", True), ("UTC", True), ("Europe/Nowhere", False), ("", False)],
)
def test_time_zones_of_the_database_only(zone: str, known: bool) -> None:
    """A company's time zone is in the IANA database."""
    assert is_time_zone(zone) is known
