"""Numbers and dates of documents: no gap in a series, dates never go back.

A series is the billing company's prefix; the width only affects how a number is written. Invoices
and credit notes share a series.
"""

from datetime import date
from typing import NamedTuple

from shared.errors import Refused
from shared.terms import counted

OPENING_SERIES = "opening:"
"""The series of documents of opening data, under the numbers of another system. A prefix has no
colon, so no other series is like it."""


class Series(NamedTuple):
    """A series: its next free number, and the date of its last document (None: it has none)."""

    prefix: str
    width: int
    next_number: int = 1
    last_date: date | None = None

    @property
    def words(self) -> str:
        """How a message names the series."""
        return f"series {self.prefix!r}" if self.prefix else "the series without a prefix"

    def written(self, number: int) -> str:
        """A number as it is typed, and as documents show it."""
        return f"{number} ({format_number(self.prefix, self.width, number)})"


class NumberJump(NamedTuple):
    """Skipped numbers, both ends included."""

    from_number: int
    to_number: int


class NumberingStart(NamedTuple):
    """The first number of a batch, and the jump before it, if there is one."""

    number: int
    jump: NumberJump | None = None


def format_number(prefix: str, width: int, number: int) -> str:
    """Return a number as documents show it: prefix and at least `width` digits."""
    return f"{prefix}{number:0{width}d}"


def first_number(series: Series, wanted: int | None, reason: str) -> NumberingStart:
    """Return the first number of a batch.

    The first batch may start anywhere. A later first number must be above every number of the
    series and needs a reason; the skipped numbers are declared. Raises `Refused`, which names the
    next free number.
    """
    if wanted is None or wanted == series.next_number:
        return NumberingStart(series.next_number)
    free = series.written(series.next_number)
    if series.last_date is None:
        return NumberingStart(wanted)
    if wanted < series.next_number:
        raise Refused(
            "number_used",
            f"first number {series.written(wanted)} is not above every number of {series.words}:"
            f" the next free one is {free}",
            f"leave the first number out, or give {series.next_number}; a higher one skips numbers,"
            " which needs --reason",
            next_free=series.next_number,
        )
    if not reason.strip():
        raise Refused(
            "reason_missing",
            f"first number {series.written(wanted)} skips"
            f" {counted(wanted - series.next_number, 'number')} from {free} on;"
            " that needs a reason",
            "give --reason, it is printed in the gap certificate",
            next_free=series.next_number,
        )
    return NumberingStart(wanted, NumberJump(series.next_number, wanted - 1))


def invoice_date(wanted: date | None, today: date, series: Series) -> date:
    """Return the date of a batch's documents: today, or the requested date.

    Not before the last date of the series, and not after today. Raises `Refused`.
    """
    chosen = wanted or today
    if chosen > today:
        raise Refused(
            "date_in_future",
            f"invoice date {chosen} is after today, {today}",
            "give a date up to today, or none",
        )
    if series.last_date is not None and chosen < series.last_date:
        raise Refused(
            "date_goes_back",
            f"invoice date {chosen} is before {series.last_date},"
            f" the date of the last document of {series.words}",
            f"give a date from {series.last_date} to {today}",
        )
    return chosen


def exceeds_width(series: Series, documents: int) -> bool:
    """Whether the numbers of that many more documents have more digits than the width."""
    return documents > 0 and len(str(series.next_number + documents - 1)) > series.width


def is_new_opening_number(series: Series, last_number: int, last_date: date, today: date) -> bool:
    """Return whether the last number of another system is new; False if it was set before.

    Raises `Refused` for a series that has begun.
    """
    if last_date > today:
        raise Refused(
            "date_in_future",
            f"the last date {last_date} is after today, {today}",
            "correct the file and import it again",
        )
    if series.last_date is None:
        return True
    if (series.next_number, series.last_date) == (last_number + 1, last_date):
        return False
    raise Refused(
        "series_in_use",
        f"{series.words} goes on with {series.written(series.next_number)}: a last number is set"
        " before the first document, once",
        "to skip numbers, give the next batch a higher first number with a reason",
        next_free=series.next_number,
    )
