"""Billing cycles: up to which date a batch takes the lines of a debtor.

A time group is a named billing cycle: weekly (with the day on which it ends), fortnightly (the
anchor is the last day of one cycle), monthly, custom periods (no gap, no overlap), or non-date.
The rules here turn a cycle into a window per debtor; the store compares dates with the window. No
date here depends on a clock or a time zone: today and the cut-off are local dates of the company.
"""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Literal, NamedTuple

from shared.cycles import DAY as DAY
from shared.cycles import WEEK_DAYS as WEEK_DAYS
from shared.cycles import Span as Span
from shared.cycles import TimeGroup as TimeGroup
from shared.cycles import cycle_with as cycle_with
from shared.cycles import span_ending

NO_GROUP = "none"
"""The name that people use for the debtors without a time group."""
NO_COMPLETE_CYCLE = date.min
"""A window that ends on this date takes no timesheet: no cycle is complete yet."""


class Window(NamedTuple):
    """The dates up to which a batch takes the lines of a debtor.

    Timesheet lines by week ending up to `weeks_to` (None: any week), product lines by effective
    date up to `products_to`. `weeks_from` is the first day of the cycle: an older line is late.
    """

    weeks_to: date | None
    products_to: date
    weeks_from: date | None = None

    @property
    def cycle(self) -> Span | None:
        """The cycle, if there is one."""
        first_day, last_day = self.weeks_from, self.weeks_to
        return None if first_day is None or last_day is None else Span(first_day, last_day)

    @property
    def is_cyclic(self) -> bool:
        """Whether a cycle decides about weeks, also if none is complete yet."""
        return self.weeks_from is not None or self.weeks_to == NO_COMPLETE_CYCLE


def time_group_of(debtors_own: str, company_default: str) -> str:
    """Return the debtor's time group, else the company's default; empty for none."""
    return debtors_own or company_default


def faulty_periods(periods: Sequence[Span]) -> tuple[Literal["gap", "overlap"], Span, Span] | None:
    """Return the first two neighbouring periods with a gap or an overlap between them."""
    for before, after in pairwise(sorted(periods)):
        if after.first_day <= before.last_day:
            return "overlap", before, after
        if after.first_day > before.last_day + DAY:
            return "gap", before, after
    return None


def last_complete_cycle(group: TimeGroup, cut_off: date) -> Span | None:
    """Return the last cycle that ends on or before the cut-off; None: there is none."""
    cycle = cycle_with(group, cut_off)
    if cycle is None or cycle.last_day == cut_off:
        return cycle
    return cycle_with(group, cycle.first_day - DAY)


def check_periods_reach(group: TimeGroup, cut_off: date) -> str:
    """Return what is wrong if the custom periods end before the cut-off, else ""."""
    if group.cycle != "custom" or cut_off <= group.periods[-1].last_day:
        return ""
    return (
        f"the cut-off {cut_off} is beyond the last period of time group {group.name!r},"
        f" which ends on {group.periods[-1].last_day}"
    )


def window(group: TimeGroup | None, cut_off: date) -> Window:
    """Return the window of a debtor for a cut-off date.

    Without a time group: week ending, or effective date, on or before the cut-off.
    """
    if group is None:
        return Window(weeks_to=cut_off, products_to=cut_off)
    if group.cycle == "non-date":
        return Window(weeks_to=None, products_to=cut_off)
    cycle = last_complete_cycle(group, cut_off)
    if cycle is None:
        return Window(weeks_to=NO_COMPLETE_CYCLE, products_to=cut_off)
    return Window(weeks_to=cycle.last_day, products_to=cut_off, weeks_from=cycle.first_day)


def expected_weeks(cycle: Window, cut_off: date, today: date) -> Span | None:
    """Return the days in which the weeks with expected timesheets end.

    These are the days of the cycle; without a cycle, the week that ended last. None: no timesheet
    is expected yet.
    """
    if cycle.is_cyclic:
        return cycle.cycle
    return span_ending(min(cut_off, today), WEEK_DAYS)
