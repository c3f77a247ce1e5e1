"""When an assignment is due, and which of its occurrences have to be made, changed or withdrawn.

What is set from a date replaces what was set for that date and later. An occurrence is known by its
due date, so it is made once, however often and whenever these rules are applied.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice, takewhile
from typing import Any, NamedTuple

from shared.calendar import day_of_month, next_month
from shared.events.commands import SetAssignment
from shared.events.field_types import LAST_DATE

HORIZON_DAYS = 366
"""How many days ahead occurrences are made, as Scheduled: a year, so that reports by month show
it.
"""
DAY = timedelta(days=1)
QUARTER = 3


@dataclass(frozen=True, slots=True)
class Schedule:
    """Due dates: `day` of every `months` months, counted from the month of `anchor`; or `dates`.

    A month that is shorter has its last day. `dates` are in order, each once.
    """

    months: int = 0
    day: int = 0
    anchor: date | None = None
    dates: tuple[date, ...] = ()

    def due_from(self, first: date) -> Iterator[date]:
        """Return the due dates from a date on, in order, at most until the last date there is."""
        if self.anchor is None:
            yield from (due for due in self.dates if due >= first)
            return
        year, month = self.anchor.year, self.anchor.month
        while date(year, month, 1) <= LAST_DATE.replace(day=1):
            due = day_of_month(year, month, self.day)
            if due >= first:
                yield due
            for _ in range(self.months):
                year, month = next_month(date(year, month, 1))

    def __str__(self) -> str:
        if self.anchor is not None:
            often = "monthly" if self.months == 1 else "quarterly"
            return f"{often} on day {self.day}"
        shown = ", ".join(map(str, self.dates[:3]))
        return f"on {shown}" + f" and {len(self.dates) - 3} more" * (len(self.dates) > 3)


class Version(NamedTuple):
    """What is set from a date on, until a date if there is one. Without schedule: it has ended."""

    version: int
    from_date: date
    until_date: date | None = None
    schedule: Schedule | None = None
    terms: Mapping[str, Any] | None = None
    actor: str = ""


class Change(NamedTuple):
    """A revision to make of the occurrence of a date: by a version, or withdrawn (None)."""

    due_date: date
    revision: int
    version: Version | None


def in_force(versions: Sequence[Version]) -> list[Version]:
    """Return the versions that are in force, each until the next begins, in that order."""
    found: list[Version] = []
    for version in sorted(versions):
        found = [one for one in found if one.from_date < version.from_date] + [version]
    return found


def due_dates(versions: Sequence[Version]) -> Iterator[tuple[date, Version]]:
    """Return all due dates in order, each with the version that is in force on it."""
    found = in_force(versions)
    ends = [following.from_date - DAY for following in found[1:]] + [LAST_DATE]
    for version, end in zip(found, ends, strict=True):
        last = min(end, version.until_date or end)
        if version.schedule is not None:
            for due in version.schedule.due_from(version.from_date):
                if due > last:
                    break
                yield due, version


def first_dates(versions: Sequence[Version], after: date, most: int) -> list[date]:
    """Return the first due dates after a date."""
    return [due for due, _ in islice((one for one in due_dates(versions) if one[0] > after), most)]


def changes(
    versions: Sequence[Version], existing: Mapping[date, tuple[int, bool]], until: date
) -> list[Change]:
    """Return the revisions to make of occurrences that are due until a date, in order.

    `existing` has the latest revision of each occurrence, and whether it is withdrawn. The newest
    version is the revision by which occurrences are withdrawn.
    """
    newest = max((one.version for one in versions), default=0)
    wanted = dict(takewhile(lambda one: one[0] <= until, due_dates(versions)))
    found = [
        Change(due, version.version, version)
        for due, version in wanted.items()
        if due not in existing or existing[due][0] < version.version
    ]
    found += [
        Change(due, newest, None)
        for due, (revision, withdrawn) in existing.items()
        if due not in wanted and not withdrawn and revision < newest
    ]
    return sorted(found, key=lambda change: change.due_date)


def schedule_of(command: SetAssignment, from_date: date, before: Schedule | None) -> Schedule:
    """Return the schedule of a command. Quarters keep the months in which they were due before.

    Months keep an earlier anchor, so that a schedule that is set again is the same.
    """
    months = QUARTER if command.quarterly_day else 1
    day = command.quarterly_day or command.monthly_day
    if day is not None:
        first = next(Schedule(1, day, from_date).due_from(from_date), from_date)
        anchor = first.replace(day=1)
        if before is not None and before.anchor is not None and before.months == months:
            anchor = before.anchor if months == QUARTER else min(anchor, before.anchor)
        return Schedule(months, day, anchor)
    return Schedule(dates=_single_dates(command))


def default_from(command: SetAssignment, versions: Sequence[Version], today: date) -> date:
    """Return from when terms hold if the command does not say: today.

    Of single dates it is the beginning of the assignment: they replace all that was set before.
    """
    if command.from_date is not None:
        return command.from_date
    dates = _single_dates(command)
    if not dates:
        return today
    return min([*dates, *(one.from_date for one in versions)])


def _single_dates(command: SetAssignment) -> tuple[date, ...]:
    """Return the dates that a command names, in order and each once; none if it recurs."""
    dates = command.dates if command.on_date is None else (command.on_date,)
    return tuple(sorted(set(dates)))
