"""Expected timesheets: of every placement that is active in a week, one a week (domain rules 4). A debtor may wait for them.

A direct hire sends no timesheets, and neither does a requirement in a week at whose end it was not Filled as Contract or Temp: the view
that says who is placed leaves both out. A timesheet is in when its worth is settled, or on a document.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from services.invoicer.rules.cycles import WEEK_DAYS, Span

WEEK = timedelta(days=WEEK_DAYS)
SUNDAY = 7
BILL, WAIT = "bill", "wait"


@dataclass(frozen=True, slots=True)
class Placed:
    """A worker on a requirement from a day on, for a debtor. `filled`: the week endings on which its requirement may be billed."""

    account_name: str
    requirement_id: str
    worker_id: str
    start_date: date
    end_date: date | None = None
    filled_from: date = date.min
    filled_to: date | None = None


@dataclass(frozen=True, slots=True, order=True)
class Sheet:
    """One worker's timesheet on one requirement for one week."""

    requirement_id: str
    worker_id: str
    week_ending: date


@dataclass(frozen=True, slots=True)
class Arrived:
    """How many timesheets are expected of a debtor's placements, how many of those are in, and which are missing."""

    expected: int = 0
    received: int = 0
    missing: tuple[Sheet, ...] = ()

    @property
    def words(self) -> str:
        """As people say it: 14 of 16 in."""
        return f"{self.received} of {self.expected} in"


NONE_EXPECTED = Arrived()


def weeks_of(placed: Placed, asked: Span, week_ends: int = SUNDAY) -> list[date]:
    """The endings, within the days asked, of the weeks in which the placement is active on any day. `week_ends`: the day on which a week
    ends, 1 Monday ... 7 Sunday."""
    week_ending = asked.first_day + timedelta(
        days=(week_ends - asked.first_day.isoweekday()) % WEEK_DAYS
    )
    found = []
    while week_ending <= asked.last_day:
        active = placed.start_date <= week_ending and (
            placed.end_date is None or placed.end_date > week_ending - WEEK
        )
        filled = placed.filled_from <= week_ending and (
            placed.filled_to is None or week_ending < placed.filled_to
        )
        if active and filled:
            found.append(week_ending)
        week_ending += WEEK
    return found


def arrivals(
    placements: Iterable[Placed],
    received: Iterable[Sheet],
    asked: Mapping[str, Span],
    week_ends: Mapping[str, int],
) -> dict[str, Arrived]:
    """By Account Name, what is expected and what is in. `week_ends`: by requirement, the day on which its weeks end (Sunday, if none of its
    timesheets has told). A sheet is of the week in which its week ending lies, whatever the weekday; two placements of one worker on one
    requirement in one week make one timesheet."""
    weeks: dict[tuple[str, str], list[date]] = {}
    for sheet in received:
        weeks.setdefault((sheet.requirement_id, sheet.worker_id), []).append(sheet.week_ending)
    expected: dict[str, set[Sheet]] = {}
    for placed in placements:
        if placed.account_name in asked:
            for week_ending in weeks_of(
                placed, asked[placed.account_name], week_ends.get(placed.requirement_id, SUNDAY)
            ):
                expected.setdefault(placed.account_name, set()).add(
                    Sheet(placed.requirement_id, placed.worker_id, week_ending)
                )
    found = {}
    for name, sheets in expected.items():
        missing = sorted(
            sheet
            for sheet in sheets
            if not _is_in(sheet, weeks.get((sheet.requirement_id, sheet.worker_id), ()))
        )
        found[name] = Arrived(len(sheets), len(sheets) - len(missing), tuple(missing))
    return found


def _is_in(sheet: Sheet, week_endings: Sequence[date]) -> bool:
    return any(sheet.week_ending - WEEK < each <= sheet.week_ending for each in week_endings)


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


def waits(rule: str, arrived: Arrived, asked: Span, today: date) -> str:
    """Why a debtor waits, with what is missing; empty if it does not."""
    if not arrived.missing or not may_wait(rule, asked.last_day, today):
        return ""
    until = waits_until(rule, asked.last_day)
    first = arrived.missing[0]
    return (
        f"waits for timesheets: {arrived.words} for weeks that end from {asked}, missing are"
        f" {first.worker_id} on {first.requirement_id} of {first.week_ending}{' and others' if len(arrived.missing) > 1 else ''}"
        + (f"; bills what is in from {until} on" if until else "")
    )
