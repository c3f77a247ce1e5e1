"""When schedules run (msp.md 6): local time and zone, daylight saving, missed runs."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.schedules.rules import (
    Calendar,
    DueRuns,
    due_runs,
    instant_of,
    next_runs,
)

ZONES = (
    "UTC", "America/New_York", "Europe/Berlin", "Pacific/Auckland", "Australia/Lord_Howe",
    "America/St_Johns", "Asia/Kolkata", "America/Sao_Paulo", "Africa/Casablanca",
)  # fmt: skip
MONDAY = date(2026, 3, 2)
EARLY = time(6, 30)


def utc(*parts: int) -> datetime:
    """Return an instant."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("zone", "day", "at", "expected"),
    [
        # 02:00 is followed by 03:00: 02:30 does not exist and runs at 03:00.
        ("America/New_York", date(2026, 3, 8), time(2, 30), utc(2026, 3, 8, 7)),
        ("Europe/Berlin", date(2026, 3, 29), time(2, 30), utc(2026, 3, 29, 1)),
        # A clock that goes forward by half an hour only.
        ("Australia/Lord_Howe", date(2026, 10, 4), time(2, 15), utc(2026, 10, 3, 15, 30)),
        # 01:30 comes twice: the first, still in summer time.
        ("America/New_York", date(2026, 11, 1), time(1, 30), utc(2026, 11, 1, 5, 30)),
        ("Europe/Berlin", date(2026, 10, 25), time(2, 30), utc(2026, 10, 25, 0, 30)),
        # Midnight does not exist.
        ("America/Sao_Paulo", date(2018, 11, 4), time(0, 0), utc(2018, 11, 4, 3)),
        # A whole day does not exist.
        ("Pacific/Apia", date(2011, 12, 30), time(10, 0), utc(2011, 12, 30, 10)),
        ("UTC", MONDAY, EARLY, utc(2026, 3, 2, 6, 30)),
    ],
)
def test_a_local_time_that_does_not_exist_or_comes_twice(
    zone: str, day: date, at: time, expected: datetime
) -> None:
    """The first runs at the next local time that exists, the second at the first of both."""
    assert instant_of(day, at, zone) == expected


@pytest.mark.parametrize(
    ("calendar", "after", "days"),
    [
        (Calendar("weekly", EARLY, MONDAY), utc(2026, 3, 10), ["03-16", "03-23", "03-30"]),
        (Calendar("weekly", EARLY, MONDAY), utc(2026, 1, 1), ["03-02", "03-09", "03-16"]),
        (Calendar("fortnightly", EARLY, MONDAY), utc(2026, 3, 9), ["03-16", "03-30", "04-13"]),
        (Calendar("monthly", EARLY, day=31), utc(2026, 1, 31, 7), ["02-28", "03-31", "04-30"]),
        (
            Calendar("dates", EARLY, dates=(date(2026, 5, 1), date(2026, 4, 1), MONDAY)),
            utc(2026, 3, 2, 6, 30),
            ["04-01", "05-01"],
        ),
    ],
    ids=["weekly", "not before the first day", "fortnightly", "monthly", "dates"],
)
def test_the_days_of_a_calendar(calendar: Calendar, after: datetime, days: list[str]) -> None:
    """Weekly, fortnightly, monthly (a shorter month has its last day), or a list of dates."""
    assert [f"{each.day:%m-%d}" for each in next_runs(calendar, "UTC", after, 3)] == days


def test_of_missed_runs_the_latest_runs_once() -> None:
    """After three weeks off one run is made, two are skipped; a clock set back makes none."""
    calendar = Calendar("weekly", EARLY, MONDAY)
    run, skipped = due_runs(calendar, "UTC", utc(2026, 3, 1), utc(2026, 3, 17))
    assert run is not None and run.day == date(2026, 3, 16)
    assert [each.day for each in skipped] == [MONDAY, date(2026, 3, 9)]
    assert due_runs(calendar, "UTC", run.due_at, utc(2026, 3, 17)) == DueRuns(None, [])
    assert due_runs(calendar, "UTC", run.due_at, utc(2026, 3, 2)) == DueRuns(None, [])


CALENDARS = st.one_of(
    st.builds(
        Calendar,
        st.sampled_from(["weekly", "fortnightly"]),
        st.times(),
        st.dates(date(2024, 1, 1), date(2026, 12, 31)),
    ),
    st.builds(Calendar, st.just("monthly"), st.times(), day=st.integers(1, 31)),
)


@given(CALENDARS, st.sampled_from(ZONES), st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)))
def test_occurrences_follow_each_other(calendar: Calendar, zone: str, after: datetime) -> None:
    """Days and instants grow; an instant has the local time of its day, or follows a gap."""
    at = calendar.at.replace(microsecond=0)
    calendar = Calendar(calendar.repeat, at, calendar.first_day, calendar.day)
    found = next_runs(calendar, zone, after.replace(tzinfo=UTC), 30)
    assert len(found) == 30
    for before, later in pairwise(found):
        assert before.day < later.day and before.due_at < later.due_at
    for day, due_at in found:
        wall = datetime.combine(day, at)
        local = due_at.astimezone(ZoneInfo(zone))
        if local.replace(tzinfo=None) != wall:
            second_before = (due_at - timedelta(seconds=1)).astimezone(ZoneInfo(zone))
            assert second_before.replace(tzinfo=None) < wall < local.replace(tzinfo=None)
        assert local.fold == 0


@given(CALENDARS, st.sampled_from(ZONES), st.lists(st.integers(0, 24 * 200), min_size=1))
def test_every_occurrence_runs_or_is_skipped_once(
    calendar: Calendar, zone: str, hours: list[int]
) -> None:
    """Whenever the scheduler looks at the clock, also if that is set back, none is met twice."""
    start = after = utc(2026, 1, 1)
    met = []
    for number in hours:
        run, skipped = due_runs(calendar, zone, after, start + timedelta(hours=number))
        if run is not None:
            met += [*skipped, run]
            after = run.due_at
    everything = due_runs(calendar, zone, start, start + timedelta(hours=max(hours)))
    assert met == [*everything.skipped, *([everything.run] if everything.run else [])]
