"""When a schedule runs, and which of its missed runs are skipped. Pure: now is an argument.

An occurrence is a local day of the billing company. It falls due at the schedule's local time on
that day: a local time that does not exist runs at the next one that does, a local time that comes
twice at the first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from shared.calendar import day_of_month, local_date, next_month

Repeat = Literal["weekly", "fortnightly", "monthly", "dates"]
ONE_DAY, ONE_SECOND = timedelta(days=1), timedelta(seconds=1)
STEP_DAYS = {"weekly": 7, "fortnightly": 14}


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days and the local time at which a schedule runs.

    `first_day` is one run day of a weekly or fortnightly calendar; its week goes on from there and
    none is before it. `day` is the day of a month; a shorter month has its last day. `dates` are in
    any order.
    """

    repeat: Repeat
    at: time
    first_day: date | None = None
    day: int | None = None
    dates: tuple[date, ...] = ()

    def days_from(self, start: date) -> Iterator[date]:
        """Return the run days from `start` on, in order; without an end, except for dates."""
        if self.repeat == "dates":
            yield from sorted({day for day in self.dates if day >= start})
        elif self.repeat == "monthly":
            assert self.day is not None
            year, month = start.year, start.month
            while True:
                day = day_of_month(year, month, self.day)
                if day >= start:
                    yield day
                year, month = next_month(day)
        else:
            assert self.first_day is not None
            step = STEP_DAYS[self.repeat]
            behind = max(0, (start - self.first_day).days)
            day = self.first_day + timedelta(days=-(-behind // step) * step)
            while True:
                yield day
                day += timedelta(days=step)


class Occurrence(NamedTuple):
    """A run of a schedule: its local day, and the instant (UTC) at which it falls due."""

    day: date
    due_at: datetime


class DueRuns(NamedTuple):
    """The occurrences that fell due: the latest runs, the earlier ones are skipped."""

    run: Occurrence | None
    skipped: Sequence[Occurrence]


def instant_of(day: date, at: time, time_zone: str) -> datetime:
    """Return the instant (UTC) of a local time.

    A local time in a gap (the clock goes forward over it) is the first instant after the gap; one
    that comes twice is the first of both.
    """
    zone = ZoneInfo(time_zone)
    wall = datetime.combine(day, at)
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    # In a gap the offset of before gives an instant after it, that of after one before it.
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = before.astimezone(zone).utcoffset()
    while first - before > ONE_SECOND:
        middle = before + (first - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            first = middle
    return first.replace(microsecond=0)


def occurrences(calendar: Calendar, time_zone: str, after: datetime) -> Iterator[Occurrence]:
    """Return the occurrences that fall due after an instant, in the order of their days."""
    # The day before is looked at too: a gap of a whole day moves its run into the next one.
    for day in calendar.days_from(local_date(after, time_zone) - ONE_DAY):
        due_at = instant_of(day, calendar.at, time_zone)
        if due_at > after:
            yield Occurrence(day, due_at)


def next_runs(calendar: Calendar, time_zone: str, after: datetime, number: int) -> list[Occurrence]:
    """Return the next occurrences after an instant, at most `number`."""
    return list(islice(occurrences(calendar, time_zone, after), number))


def due_runs(calendar: Calendar, time_zone: str, after: datetime, now: datetime) -> DueRuns:
    """Return what fell due after `after` up to now: the latest runs once, the others are skipped.

    Nothing, if the clock was set back.
    """
    due = []
    for each in occurrences(calendar, time_zone, after):
        if each.due_at > now:
            break
        due.append(each)
    return DueRuns(due[-1] if due else None, due[:-1])
