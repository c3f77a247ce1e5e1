"""Numbers and dates of documents: gapless in a series, dates that never go back (domain rules 8).

A series is the billing company's prefix; the width only says how a number is written. Credit notes share it.
"""

from dataclasses import dataclass
from datetime import date

from shared.errors import Refused


@dataclass(frozen=True, slots=True)
class Series:
    """Where a series stands. `next_number` is the next free one; `last_date` the date of its last document. New: nothing used yet."""

    prefix: str
    width: int
    next_number: int = 1
    last_date: date | None = None
    used: bool = False


@dataclass(frozen=True, slots=True)
class NumberJump:
    """Numbers passed over, both ends included."""

    from_number: int
    to_number: int


@dataclass(frozen=True, slots=True)
class NumberingStart:
    """The first number of a batch, and the jump that it declares, if any."""

    number: int
    jump: NumberJump | None = None


def format_number(prefix: str, width: int, number: int) -> str:
    """A number as documents show it: prefix and at least `width` digits, more when they are needed."""
    return f"{prefix}{number:0{width}d}"


def first_number(series: Series, wanted: int | None, reason: str) -> NumberingStart:
    """Where a batch begins to number. The first batch may start anywhere; a later first number must be above every number of the
    series, needs a reason, and what it passes over is declared. Raises `Refused`, naming the next free number."""
    if wanted is None or wanted == series.next_number:
        return NumberingStart(series.next_number)
    free = format_number(series.prefix, series.width, series.next_number)
    if not series.used:
        return NumberingStart(wanted)
    if wanted < series.next_number:
        raise Refused(
            "number_used",
            f"first number {wanted} is not above every number of series {series.prefix!r}: the next free one is {series.next_number} ({free})",
            f"leave the first number out, or give {series.next_number} or more",
            next_free=series.next_number,
        )
    if not reason.strip():
        raise Refused(
            "reason_missing",
            f"first number {wanted} passes over {wanted - series.next_number} numbers from {series.next_number} ({free}) on; that needs a reason",
            "give --reason, it is printed in the gap certificate",
            next_free=series.next_number,
        )
    return NumberingStart(wanted, NumberJump(series.next_number, wanted - 1))


def invoice_date(wanted: date | None, today: date, series: Series) -> date:
    """The date of a batch's documents: today's local date, or the one given, not before the last of the series, not after today."""
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
            f"invoice date {chosen} is before {series.last_date}, the date of the last document of series {series.prefix!r}",
            f"give a date from {series.last_date} to {today}",
        )
    return chosen


def exceeds_width(series: Series, documents: int) -> bool:
    """Whether the numbers of so many more documents need more digits than the series is wide."""
    return documents > 0 and len(str(series.next_number + documents - 1)) > series.width
