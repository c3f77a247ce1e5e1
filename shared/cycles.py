"""Named billing cycles, and the cycle that contains a day: what the invoicer bills by, and what
people are shown.
"""

from bisect import bisect_right
from datetime import date, timedelta
from typing import Literal, NamedTuple

from shared.calendar import month_end

Cycle = Literal["weekly", "fortnightly", "monthly", "custom", "non-date"]
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY = timedelta(days=1)
WEEK_DAYS, FORTNIGHT_DAYS = 7, 14


class Span(NamedTuple):
    """Days from the first to the last, both included."""

    first_day: date
    last_day: date

    def __str__(self) -> str:
        return f"{self.first_day} to {self.last_day}"


class TimeGroup(NamedTuple):
    """A named billing cycle. Custom `periods` are in order, without gap or overlap."""

    name: str
    cycle: Cycle
    ends_on: str | None = None
    anchor: date | None = None
    periods: tuple[Span, ...] = ()

    @property
    def words(self) -> str:
        """A description of the cycle."""
        if self.cycle == "weekly":
            return f"weekly, ends on {(self.ends_on or '').capitalize()}"
        if self.cycle == "fortnightly":
            return f"fortnightly, a cycle ends on {self.anchor}"
        if self.cycle == "custom":
            covered = Span(self.periods[0].first_day, self.periods[-1].last_day)
            return f"custom, {len(self.periods)} periods from {covered}"
        return self.cycle


def cycle_with(group: TimeGroup, day: date) -> Span | None:
    """Return the cycle that contains a day.

    None for a non-date group and for a day outside all custom periods.
    """
    if group.cycle == "weekly":
        days_left = (WEEKDAYS.index(group.ends_on or "sunday") - day.weekday()) % WEEK_DAYS
        return span_ending(day + timedelta(days=days_left), WEEK_DAYS)
    if group.cycle == "fortnightly":
        assert group.anchor is not None
        days_left = (group.anchor - day).days % FORTNIGHT_DAYS
        return span_ending(day + timedelta(days=days_left), FORTNIGHT_DAYS)
    if group.cycle == "monthly":
        return Span(day.replace(day=1), month_end(day))
    at = bisect_right(group.periods, day, key=lambda period: period.first_day)
    return group.periods[at - 1] if at and day <= group.periods[at - 1].last_day else None


def span_ending(last_day: date, days: int) -> Span:
    """The days up to the last one."""
    return Span(last_day - timedelta(days=days - 1), last_day)


def cycles_from(group: TimeGroup, day: date, number: int) -> list[Span]:
    """The cycle that contains a day and those after it; fewer where custom periods end."""
    found: list[Span] = []
    while len(found) < number and (cycle := cycle_with(group, day)) is not None:
        found.append(cycle)
        day = cycle.last_day + DAY
    return found
