"""Billing cycles: up to which date the lines of a debtor are in a batch (domain rules 4).

A time group is a billing cycle with a name: weekly (the day it ends), fortnightly (the anchor is a cycle's last day), monthly, custom
periods (no gap, no overlap), or non-date. A cycle comes to the store as a window per debtor, decided here; the store compares dates
with it and knows no calendar. No date here depends on a clock or a zone: today and the cut-off are local dates of the billing company.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal

from shared.calendar import month_end
from shared.terms import LineKind

Cycle = Literal["weekly", "fortnightly", "monthly", "custom", "non-date"]
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NO_GROUP = "none"
"""What people call the group of debtors without a time group."""
NO_COMPLETE_CYCLE = date.min
"""A window that ends here takes no timesheet: no cycle is complete yet."""
DAY = timedelta(days=1)
WEEK_DAYS, FORTNIGHT_DAYS = 7, 14


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Days from the first to the last, both in."""

    first_day: date
    last_day: date

    def __str__(self) -> str:
        return f"{self.first_day} to {self.last_day}"


@dataclass(frozen=True, slots=True)
class TimeGroup:
    """A billing cycle with a name. `periods` of a custom one are in order, without gap or overlap."""

    name: str
    cycle: Cycle
    ends_on: str | None = None
    anchor: date | None = None
    periods: tuple[Span, ...] = ()

    @property
    def words(self) -> str:
        """The cycle as people say it."""
        if self.cycle == "weekly":
            return f"weekly, ends on {(self.ends_on or '').capitalize()}"
        if self.cycle == "fortnightly":
            return f"fortnightly, a cycle ends on {self.anchor}"
        if self.cycle == "custom":
            return f"custom, {len(self.periods)} periods from {self.periods[0].first_day} to {self.periods[-1].last_day}"
        return self.cycle


@dataclass(frozen=True, slots=True)
class Window:
    """Timesheet lines are in by week ending up to `weeks_to` (None: whatever is ready), product lines by effective date up to
    `products_to`. `weeks_from` is the cycle's first day: what is older and not invoiced is late."""

    weeks_to: date | None
    products_to: date
    weeks_from: date | None = None

    @property
    def cycle(self) -> Span | None:
        """The cycle, where there is one."""
        return (
            None
            if self.weeks_from is None or self.weeks_to is None
            else Span(self.weeks_from, self.weeks_to)
        )


def time_group_of(debtors_own: str, company_default: str) -> str:
    """The debtor's time group, else the billing company's default; empty for none."""
    return debtors_own or company_default


def faulty_periods(periods: Sequence[Span]) -> tuple[Literal["gap", "overlap"], Span, Span] | None:
    """The first two neighbours among custom periods between which days are missing, or that share days."""
    in_order = sorted(periods)
    for before, after in pairwise(in_order):
        if after.first_day <= before.last_day:
            return "overlap", before, after
        if after.first_day > before.last_day + DAY:
            return "gap", before, after
    return None


def cycle_with(group: TimeGroup, day: date) -> Span | None:
    """The cycle in which a day lies: exactly one, but for non-date and for days outside of all custom periods."""
    if group.cycle == "weekly":
        return _span_ending(
            day
            + timedelta(
                days=(WEEKDAYS.index(group.ends_on or "sunday") - day.weekday()) % WEEK_DAYS
            ),
            WEEK_DAYS,
        )
    if group.cycle == "fortnightly":
        assert group.anchor is not None
        return _span_ending(
            day + timedelta(days=(group.anchor - day).days % FORTNIGHT_DAYS), FORTNIGHT_DAYS
        )
    if group.cycle == "monthly":
        return Span(day.replace(day=1), month_end(day))
    at = bisect_right(group.periods, day, key=lambda period: period.first_day)
    return group.periods[at - 1] if at and day <= group.periods[at - 1].last_day else None


def _span_ending(last_day: date, days: int) -> Span:
    return Span(last_day - timedelta(days=days - 1), last_day)


def last_complete_cycle(group: TimeGroup, cut_off: date) -> Span | None:
    """The last cycle that ends on or before the cut-off: one that ends on that very day is complete. None: there is none yet."""
    cycle = cycle_with(group, cut_off)
    if cycle is None or cycle.last_day == cut_off:
        return cycle
    return cycle_with(group, cycle.first_day - DAY)


def check_periods_reach(group: TimeGroup, cut_off: date) -> str:
    """What is wrong when nobody knows which cycle a cut-off closes, because custom periods end before it; empty if nothing is."""
    if group.cycle != "custom" or cut_off <= group.periods[-1].last_day:
        return ""
    return f"the cut-off {cut_off} is beyond the last period of time group {group.name!r}, which ends on {group.periods[-1].last_day}"


def window(group: TimeGroup | None, cut_off: date) -> Window:
    """The window of a debtor for a cut-off date. Without a time group: week ending, or effective date, on or before the cut-off."""
    if group is None:
        return Window(weeks_to=cut_off, products_to=cut_off)
    if group.cycle == "non-date":
        return Window(weeks_to=None, products_to=cut_off)
    cycle = last_complete_cycle(group, cut_off)
    if cycle is None:
        return Window(weeks_to=NO_COMPLETE_CYCLE, products_to=cut_off)
    return Window(weeks_to=cycle.last_day, products_to=cut_off, weeks_from=cycle.first_day)


def expected_weeks(cycle: Window, cut_off: date, today: date) -> Span | None:
    """The days in which the weeks end whose timesheets are expected: those of the cycle. Who has no cycle is asked for the week that
    ended last. None: nothing is expected yet."""
    if cycle.cycle is not None or cycle.weeks_to == NO_COMPLETE_CYCLE:
        return cycle.cycle
    return _span_ending(min(cut_off, today), WEEK_DAYS)


def in_window(
    kind: LineKind, week_ending: date | None, effective_date: date, correction: bool, cycle: Window
) -> bool:
    """Whether a line that is due is in the cycle. A correction of an invoiced timesheet is in whatever its week ending.

    Its twin in SQL is the column `exclusion_reason` of the store's selection.
    """
    if kind == "product":
        return effective_date <= cycle.products_to
    return correction or cycle.weeks_to is None or (week_ending or effective_date) <= cycle.weeks_to
