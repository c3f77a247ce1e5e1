"""The timesheets of a closed document as plain data: worker, approver, days and hours.

`document.typ` sets them after the lines of the document, or as a file of their own.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from shared.money import ZERO
from shared.render.text import clean, decimals_of, figure
from shared.terms import ClosedDocument, ClosedTimesheet, TimesheetTime

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEK = len(WEEKDAYS)
INTRODUCTION = (
    "The timesheets of this document, with all their time for the requirements on it. Time that is"
    " not billable is shown and worth 0."
)


def printed_timesheets(
    document: ClosedDocument, timesheets: Sequence[ClosedTimesheet]
) -> dict[str, Any]:
    """Return what the template prints of the timesheets of a document."""
    hours = [time.hours for each in timesheets for time in each.times]
    decimals = decimals_of(hours, 2)
    return {
        "introduction": INTRODUCTION,
        "timesheets": [_timesheet(document, each, decimals) for each in timesheets],
    }


def _timesheet(
    document: ClosedDocument, timesheet: ClosedTimesheet, decimals: int
) -> dict[str, Any]:
    by, on = clean(timesheet.approved_by), timesheet.approved_on
    approved = " ".join([f"approved {on}".strip(), f"by {by}"] if by else [f"approved {on}"])
    facts = [
        f"week ending {timesheet.week_ending.isoformat()}",
        clean(timesheet.document_id),
        "" if timesheet.source_id == timesheet.document_id else clean(timesheet.source_id),
        approved if on or by else "",
        "" if timesheet.times else "cancelled: no time",
    ]
    return {
        "worker": clean(document.names.workers.get(timesheet.worker_id, timesheet.worker_id)),
        "facts": " · ".join(filter(None, facts)),
        "weeks": [
            _week(document, last_day, times, decimals)
            for last_day, times in _by_week(timesheet).items()
        ],
    }


def _by_week(timesheet: ClosedTimesheet) -> dict[date, list[TimesheetTime]]:
    """Return the time by the last day of its week; days outside the timesheet's week come too."""
    weeks: dict[date, list[TimesheetTime]] = {}
    for time in sorted(timesheet.times, key=lambda time: time.work_date):
        back = (timesheet.week_ending - time.work_date).days // WEEK
        weeks.setdefault(timesheet.week_ending - timedelta(days=back * WEEK), []).append(time)
    return weeks


def _week(
    document: ClosedDocument, last_day: date, times: Iterable[TimesheetTime], decimals: int
) -> dict[str, Any]:
    days = [last_day - timedelta(days=back) for back in reversed(range(WEEK))]
    rows: dict[tuple[str, str, bool], dict[date, Decimal]] = {}
    for time in times:
        row = rows.setdefault((time.requirement_id, time.time_type, not time.billable), {})
        row[time.work_date] = row.get(time.work_date, ZERO) + time.hours
    return {
        "days": [f"{WEEKDAYS[day.weekday()]} {day:%m-%d}" for day in days],
        "rows": [
            {
                "label": _label(document, *key),
                "quiet": key[2],
                "hours": [figure(by_day[day], decimals) if day in by_day else "–" for day in days],
                "total": figure(sum(by_day.values(), ZERO), decimals),
            }
            for key, by_day in sorted(rows.items())
        ],
    }


def _label(
    document: ClosedDocument, requirement_id: str, time_type: str, not_billable: bool
) -> str:
    requirement = document.names.requirement(requirement_id)
    named = requirement.reference or requirement.job_title or requirement_id
    return f"{clean(time_type)} · {clean(named)}" + (" · not billable" if not_billable else "")
