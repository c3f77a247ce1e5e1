"""Expected timesheets: of every placement that is active in a week, one a week (domain rules 4). A debtor may wait for them.

A direct hire sends no timesheets, and neither does a requirement in a week at whose end it was not Filled as Contract or Temp: the view
that says who is placed leaves both out. A timesheet is in when its worth is settled, or on a document.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from services.invoicer.debtors.rules.cycles import WEEK_DAYS, Span

WEEK = timedelta(days=WEEK_DAYS)
SUNDAY = 7
BILL, WAIT = "bill", "wait"


@dataclass(frozen=True, slots=True)
class ExpectedPlacement:
    """A worker on a requirement from a day on, for a debtor. `filled`: the week endings on which its requirement may be billed."""

    account_name: str
    requirement_id: str
    worker_id: str
    start_date: date
    end_date: date | None = None
    filled_from: date = date.min
    filled_to: date | None = None


@dataclass(frozen=True, slots=True, order=True)
class ExpectedTimesheet:
    """One worker's timesheet on one requirement for one week."""

    requirement_id: str
    worker_id: str
    week_ending: date


@dataclass(frozen=True, slots=True)
class TimesheetCount:
    """How many timesheets are expected of a debtor's placements, how many of those are in, and which are missing."""

    expected: int = 0
    received: int = 0
    missing: tuple[ExpectedTimesheet, ...] = ()

    @property
    def words(self) -> str:
        """As people say it: 14 of 16 in."""
        return f"{self.received} of {self.expected} in"


NONE_EXPECTED = TimesheetCount()


def weeks_of(
    placement: ExpectedPlacement, expected_weeks: Span, week_ends: int = SUNDAY
) -> list[date]:
    """The endings, within the days asked, of the weeks in which the placement is active on any day. `week_ends`: the day on which a week
    ends, 1 Monday ... 7 Sunday."""
    week_ending = expected_weeks.first_day + timedelta(
        days=(week_ends - expected_weeks.first_day.isoweekday()) % WEEK_DAYS
    )
    found = []
    while week_ending <= expected_weeks.last_day:
        active = placement.start_date <= week_ending and (
            placement.end_date is None or placement.end_date > week_ending - WEEK
        )
        filled = placement.filled_from <= week_ending and (
            placement.filled_to is None or week_ending < placement.filled_to
        )
        if active and filled:
            found.append(week_ending)
        week_ending += WEEK
    return found


def count_timesheets(
    placements: Iterable[ExpectedPlacement],
    received: Iterable[ExpectedTimesheet],
    expected_weeks: Mapping[str, Span],
    week_ends: Mapping[str, int],
) -> dict[str, TimesheetCount]:
    """By Account Name, what is expected and what is in. `week_ends`: by requirement, the day on which its weeks end (Sunday, if none of its
    timesheets has told). A sheet is of the week in which its week ending lies, whatever the weekday; two placements of one worker on one
    requirement in one week make one timesheet."""
    weeks: dict[tuple[str, str], list[date]] = {}
    for timesheet in received:
        weeks.setdefault((timesheet.requirement_id, timesheet.worker_id), []).append(
            timesheet.week_ending
        )
    expected: dict[str, set[ExpectedTimesheet]] = {}
    for placement in placements:
        if placement.account_name in expected_weeks:
            for week_ending in weeks_of(
                placement,
                expected_weeks[placement.account_name],
                week_ends.get(placement.requirement_id, SUNDAY),
            ):
                expected.setdefault(placement.account_name, set()).add(
                    ExpectedTimesheet(placement.requirement_id, placement.worker_id, week_ending)
                )
    found = {}
    for name, timesheets in expected.items():
        missing = sorted(
            timesheet
            for timesheet in timesheets
            if not _is_in(timesheet, weeks.get((timesheet.requirement_id, timesheet.worker_id), ()))
        )
        found[name] = TimesheetCount(
            len(timesheets), len(timesheets) - len(missing), tuple(missing)
        )
    return found


def _is_in(timesheet: ExpectedTimesheet, week_endings: Sequence[date]) -> bool:
    return any(
        timesheet.week_ending - WEEK < each <= timesheet.week_ending for each in week_endings
    )


def waits_until(rule: str, cycle_end: date) -> date | None:
    """The first day on which a debtor with this rule bills what is in: None for never (`wait`)."""
    kind, _, days = rule.partition(":")
    if kind == BILL:
        return date.min
    return cycle_end + timedelta(days=int(days)) if days else None


def may_wait(rule: str, cycle_end: date, today: date) -> bool:
    """Whether a debtor with this rule waits if a timesheet is missing."""
    until = waits_until(rule, cycle_end)
    return until is None or today < until


def waits(rule: str, timesheet_counts: TimesheetCount, expected_weeks: Span, today: date) -> str:
    """Why a debtor waits, with what is missing; empty if it does not."""
    if not timesheet_counts.missing or not may_wait(rule, expected_weeks.last_day, today):
        return ""
    until = waits_until(rule, expected_weeks.last_day)
    first = timesheet_counts.missing[0]
    return (
        f"waits for timesheets: {timesheet_counts.words} for weeks that end from {expected_weeks}, missing are"
        f" {first.worker_id} on {first.requirement_id} of {first.week_ending}{' and others' if len(timesheet_counts.missing) > 1 else ''}"
        + (f"; bills what is in from {until} on" if until else "")
    )
