"""Expected timesheets: one for each week of an active placement.

A debtor may wait for them. A direct hire sends no timesheets, and neither does a requirement in a
week at whose end it is not Filled as Contract or Temp: the view of placements leaves both out.
A timesheet is in when its latest realization is settled, or when it is invoiced.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from services.invoicer.debtors.rules.cycles import WEEK_DAYS, Span

WEEK = timedelta(days=WEEK_DAYS)
SUNDAY = 7
BILL, WAIT = "bill", "wait"


@dataclass(frozen=True, slots=True)
class ExpectedPlacement:
    """A worker's placement on a requirement, for a debtor.

    `filled_from`, `filled_to`: the week endings on which the requirement may be billed, the last
    not included.
    """

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
    """How many timesheets of a debtor are expected and received, and which are missing."""

    expected: int = 0
    received: int = 0
    missing: tuple[ExpectedTimesheet, ...] = ()


NONE_EXPECTED = TimesheetCount()


def weeks_of(
    placement: ExpectedPlacement, expected_weeks: Span, week_ends: int = SUNDAY
) -> list[date]:
    """Return the week endings in `expected_weeks` of the weeks in which the placement is active.

    `week_ends`: the day on which a week ends, 1 Monday ... 7 Sunday.
    """
    week_ending = expected_weeks.first_day + timedelta(
        days=(week_ends - expected_weeks.first_day.isoweekday()) % WEEK_DAYS
    )
    endings = []
    while week_ending <= expected_weeks.last_day:
        active = placement.start_date <= week_ending and (
            placement.end_date is None or placement.end_date > week_ending - WEEK
        )
        filled = placement.filled_from <= week_ending and (
            placement.filled_to is None or week_ending < placement.filled_to
        )
        if active and filled:
            endings.append(week_ending)
        week_ending += WEEK
    return endings


def count_timesheets(
    placements: Iterable[ExpectedPlacement],
    received: Iterable[ExpectedTimesheet],
    expected_weeks: Mapping[str, Span],
    week_ends: Mapping[str, int],
) -> dict[str, TimesheetCount]:
    """Count the expected and the received timesheets by Account Name.

    `week_ends`: by requirement, the day on which its weeks end; Sunday if it has no timesheet yet.
    A timesheet belongs to the week that holds its week ending, whatever the weekday. Two
    placements of one worker on one requirement in one week make one timesheet.
    """
    endings: dict[tuple[str, str], list[date]] = {}
    for each in received:
        endings.setdefault((each.requirement_id, each.worker_id), []).append(each.week_ending)
    expected: dict[str, set[ExpectedTimesheet]] = {}
    for placement in placements:
        weeks = expected_weeks.get(placement.account_name)
        if weeks is not None:
            week_end = week_ends.get(placement.requirement_id, SUNDAY)
            for week_ending in weeks_of(placement, weeks, week_end):
                expected.setdefault(placement.account_name, set()).add(
                    ExpectedTimesheet(placement.requirement_id, placement.worker_id, week_ending)
                )
    counts = {}
    for name, timesheets in expected.items():
        missing = sorted(
            each
            for each in timesheets
            if not any(
                each.week_ending - WEEK < ending <= each.week_ending
                for ending in endings.get((each.requirement_id, each.worker_id), ())
            )
        )
        counts[name] = TimesheetCount(
            len(timesheets), len(timesheets) - len(missing), tuple(missing)
        )
    return counts


def waits_until(rule: str, cycle_end: date) -> date | None:
    """Return the first day on which a debtor bills what is in; None for never (`wait`)."""
    kind, _, days = rule.partition(":")
    if kind == BILL:
        return date.min
    return cycle_end + timedelta(days=int(days)) if days else None


def may_wait(rule: str, cycle_end: date, today: date) -> bool:
    """Say whether a debtor with this rule waits if a timesheet is missing."""
    until = waits_until(rule, cycle_end)
    return until is None or today < until


def waits(rule: str, counts: TimesheetCount, expected_weeks: Span, today: date) -> str:
    """Say why a debtor waits and what is missing; empty if it does not wait."""
    if not counts.missing or not may_wait(rule, expected_weeks.last_day, today):
        return ""
    until = waits_until(rule, expected_weeks.last_day)
    first = counts.missing[0]
    more = f" and {len(counts.missing) - 1} more" if counts.missing[1:] else ""
    return (
        f"waits for timesheets: {counts.received} of {counts.expected} in"
        f" for week endings {expected_weeks};"
        f" missing: {first.worker_id} on {first.requirement_id},"
        f" week ending {first.week_ending}{more}"
        + (f"; bills what is in from {until} on" if until else "")
    )
