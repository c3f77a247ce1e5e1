"""Cut-off and billing cycles, by the date.

Source: FastTrack360 automatic invoicing (scenarios 1 and 2).
"""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.invoicer.debtors.rules.cycles import (
    NO_COMPLETE_CYCLE,
    Span,
    TimeGroup,
    Window,
    check_periods_reach,
    cycle_with,
    expected_weeks,
    faulty_periods,
    last_complete_cycle,
    time_group_of,
    window,
)
from shared.calendar import local_date
from shared.cycles import cycles_from
from shared.terms import LineKind
from tests.twins import in_window

THURSDAY = date(2010, 9, 9)
WEEKLY = TimeGroup("weekly", "weekly", ends_on="sunday")
SATURDAYS = TimeGroup("saturdays", "weekly", ends_on="saturday")
FORTNIGHTLY = TimeGroup("fortnightly", "fortnightly", anchor=date(2026, 3, 8))
MONTHLY = TimeGroup("monthly", "monthly")
NON_DATE = TimeGroup("any", "non-date")
RETAIL = TimeGroup(
    "retail",
    "custom",
    periods=(
        Span(date(2026, 1, 4), date(2026, 1, 31)),
        Span(date(2026, 2, 1), date(2026, 2, 28)),
        Span(date(2026, 3, 1), date(2026, 4, 4)),
    ),
)
DAYS = st.dates(date(1971, 1, 1), date(2999, 12, 1))
GROUPS = st.sampled_from(
    [
        WEEKLY,
        SATURDAYS,
        FORTNIGHTLY,
        MONTHLY,
        TimeGroup("f", "fortnightly", anchor=date(2031, 7, 16)),
    ]
)


def cycle(first: str, last: str) -> Span:
    return Span(date.fromisoformat(first), date.fromisoformat(last))


# -- FastTrack's scenarios, by the date


@pytest.mark.parametrize(
    ("group", "week_ending", "expected"),
    [
        (MONTHLY, "2010-07-31", "late"),
        (MONTHLY, "2010-08-01", "in"),
        (MONTHLY, "2010-08-31", "in"),
        (MONTHLY, "2010-09-01", "out"),
        (MONTHLY, "2010-09-05", "out"),
        (MONTHLY, "2010-09-09", "out"),
        (WEEKLY, "2010-08-29", "late"),
        (WEEKLY, "2010-08-30", "in"),
        (WEEKLY, "2010-09-05", "in"),
        (WEEKLY, "2010-09-06", "out"),
        (WEEKLY, "2010-09-09", "out"),
        (NON_DATE, "2001-01-07", "in"),
        (NON_DATE, "2010-09-12", "in"),
    ],
)
def test_fasttracks_scenarios(group: TimeGroup, week_ending: str, expected: str) -> None:
    """FastTrack360, scenarios 1 and 2 and non date-based, time group date 09/09/2010, a
    Thursday: by the week ending date. A week ending 2010-09-05 with work on 08-30 and 08-31
    is of September: a timesheet is never split at a month end.
    """
    day, cut = date.fromisoformat(week_ending), window(group, THURSDAY)
    found = (
        "out"
        if not in_window("timesheet", day, day, False, cut)
        else "late"
        if cut.weeks_from is not None and day < cut.weeks_from
        else "in"
    )
    assert found == expected


@pytest.mark.parametrize(
    ("group", "cut_off", "expected"),
    [
        # weekly: the day before, the last day of a cycle, the day after
        (WEEKLY, "2010-09-04", cycle("2010-08-23", "2010-08-29")),
        (WEEKLY, "2010-09-05", cycle("2010-08-30", "2010-09-05")),
        (WEEKLY, "2010-09-06", cycle("2010-08-30", "2010-09-05")),
        (SATURDAYS, "2010-09-09", cycle("2010-08-29", "2010-09-04")),
        # over the change to and from daylight saving time (US 2026-03-08 and 11-01, EU 2026-03-29
        # and 10-25): days are days
        (WEEKLY, "2026-03-08", cycle("2026-03-02", "2026-03-08")),
        (WEEKLY, "2026-03-29", cycle("2026-03-23", "2026-03-29")),
        (WEEKLY, "2026-10-25", cycle("2026-10-19", "2026-10-25")),
        (WEEKLY, "2026-11-01", cycle("2026-10-26", "2026-11-01")),
        # leap days and year ends
        (WEEKLY, "2024-03-03", cycle("2024-02-26", "2024-03-03")),
        (WEEKLY, "2027-01-02", cycle("2026-12-21", "2026-12-27")),
        (WEEKLY, "2027-01-03", cycle("2026-12-28", "2027-01-03")),
        (MONTHLY, "2024-02-28", cycle("2024-01-01", "2024-01-31")),
        (MONTHLY, "2024-02-29", cycle("2024-02-01", "2024-02-29")),
        (MONTHLY, "2023-02-28", cycle("2023-02-01", "2023-02-28")),
        (MONTHLY, "2100-02-28", cycle("2100-02-01", "2100-02-28")),
        (MONTHLY, "2000-02-28", cycle("2000-01-01", "2000-01-31")),
        (MONTHLY, "2026-12-31", cycle("2026-12-01", "2026-12-31")),
        (MONTHLY, "2027-01-01", cycle("2026-12-01", "2026-12-31")),
        (MONTHLY, "2027-01-30", cycle("2026-12-01", "2026-12-31")),
        # fortnightly: the anchor is a cycle's last day, before and after it
        (FORTNIGHTLY, "2026-03-07", cycle("2026-02-09", "2026-02-22")),
        (FORTNIGHTLY, "2026-03-08", cycle("2026-02-23", "2026-03-08")),
        (FORTNIGHTLY, "2026-03-21", cycle("2026-02-23", "2026-03-08")),
        (FORTNIGHTLY, "2026-03-22", cycle("2026-03-09", "2026-03-22")),
        (FORTNIGHTLY, "2010-09-09", cycle("2010-08-16", "2010-08-29")),
        # custom
        (RETAIL, "2026-01-30", None),
        (RETAIL, "2026-01-31", cycle("2026-01-04", "2026-01-31")),
        (RETAIL, "2026-02-27", cycle("2026-01-04", "2026-01-31")),
        (RETAIL, "2026-02-28", cycle("2026-02-01", "2026-02-28")),
        (RETAIL, "2026-04-04", cycle("2026-03-01", "2026-04-04")),
        (RETAIL, "2025-06-30", None),
        (NON_DATE, "2026-04-04", None),
    ],
)
def test_the_last_complete_cycle(group: TimeGroup, cut_off: str, expected: Span | None) -> None:
    """The last complete cycle that ends on or before the cut-off; a cut-off on
    the last day of a cycle takes that cycle.
    """
    assert last_complete_cycle(group, date.fromisoformat(cut_off)) == expected


@pytest.mark.parametrize(
    "zone",
    [
        "Pacific/Midway",
        "America/New_York",
        "UTC",
        "Europe/Amsterdam",
        "Asia/Kolkata",
        "Pacific/Auckland",
        "Pacific/Kiritimati",
    ],
)
def test_a_day_is_the_billing_companys_day(zone: str) -> None:
    """From zone -11 to +14 the same instant is of two days; the cycle goes by
    the local one, and is 7 days in each zone.
    """
    instant = datetime(2026, 3, 8, 10, 30, tzinfo=UTC)
    today = local_date(instant, zone)
    found = last_complete_cycle(WEEKLY, today)
    assert found is not None
    assert (found.last_day == date(2026, 3, 8)) == (zone != "Pacific/Midway")
    assert (found.last_day - found.first_day).days == 6
    assert today - found.last_day < timedelta(days=7)


# -- what holds for every date


@given(GROUPS, DAYS)
def test_every_week_ending_is_in_exactly_one_cycle(group: TimeGroup, day: date) -> None:
    """Cycles follow each other without gap or overlap, so each week ending is in
    one, and is billed by one batch.
    """
    mine = cycle_with(group, day)
    assert mine is not None
    assert mine.first_day <= day <= mine.last_day
    assert cycle_with(group, mine.first_day) == cycle_with(group, mine.last_day) == mine
    before, after = (
        cycle_with(group, mine.first_day - timedelta(days=1)),
        cycle_with(group, mine.last_day + timedelta(days=1)),
    )
    assert before is not None
    assert before.last_day + timedelta(days=1) == mine.first_day
    assert after is not None
    assert after.first_day == mine.last_day + timedelta(days=1)


@given(GROUPS, DAYS)
def test_the_last_complete_cycle_is_the_last(group: TimeGroup, cut_off: date) -> None:
    """It ends on or before the cut-off, and the next one does not."""
    found = last_complete_cycle(group, cut_off)
    assert found is not None
    assert found.last_day <= cut_off
    following = cycle_with(group, found.last_day + timedelta(days=1))
    assert following is not None
    assert following.last_day > cut_off


@given(
    st.one_of(GROUPS, st.none()),
    st.lists(DAYS, min_size=1, max_size=8),
    st.lists(DAYS, max_size=30),
)
def test_batches_one_after_the_other_take_each_timesheet_once(
    group: TimeGroup | None, cut_offs: list[date], week_endings: list[date]
) -> None:
    """Whatever the cut-offs on the way, all batches together bill what one batch
    at the last cut-off bills.
    """
    ways = sorted(cut_offs)
    left, billed = list(week_endings), []
    for cut_off in ways:
        billed += [
            day for day in left if in_window("timesheet", day, day, False, window(group, cut_off))
        ]
        left = [
            day
            for day in left
            if not in_window("timesheet", day, day, False, window(group, cut_off))
        ]
    at_once = [
        day
        for day in week_endings
        if in_window("timesheet", day, day, False, window(group, ways[-1]))
    ]
    assert sorted(billed) == sorted(at_once)


# -- custom periods


def test_a_cut_off_beyond_the_last_period_is_an_error() -> None:
    """No cycle is known beyond the last custom period.

    On the last day of the last period the cut-off closes that period.
    """
    assert check_periods_reach(RETAIL, date(2026, 4, 4)) == ""
    assert (
        "beyond the last period of time group 'retail', which ends on 2026-04-04"
        in check_periods_reach(RETAIL, date(2026, 4, 5))
    )
    assert check_periods_reach(WEEKLY, date(2999, 1, 1)) == ""


def test_before_the_first_custom_period_ends_nothing_is_complete() -> None:
    """Only complete cycles are billed; corrections and products still go."""
    cut = window(RETAIL, date(2026, 1, 30))
    assert cut == Window(weeks_to=NO_COMPLETE_CYCLE, products_to=date(2026, 1, 30))
    old = date(2025, 6, 1)
    assert not in_window("timesheet", old, old, False, cut)
    assert in_window("timesheet", old, old, True, cut)
    assert in_window("product", None, old, False, cut)
    assert in_window("timesheet", old, old, False, window(RETAIL, date(2026, 1, 31)))
    assert expected_weeks(cut, date(2026, 1, 30), date(2026, 1, 30)) is None


@pytest.mark.parametrize(
    ("periods", "expected"),
    [
        ([("2026-01-01", "2026-01-31"), ("2026-02-01", "2026-02-28")], None),
        ([("2026-02-01", "2026-02-28"), ("2026-01-01", "2026-01-31")], None),
        ([("2026-01-01", "2026-01-31"), ("2026-02-02", "2026-02-28")], "gap"),
        ([("2026-01-01", "2026-01-31"), ("2026-01-31", "2026-02-28")], "overlap"),
        (
            [
                ("2026-01-01", "2026-12-31"),
                ("2026-03-01", "2026-03-02"),
                ("2027-01-01", "2027-01-31"),
            ],
            "overlap",
        ),
        ([("2026-01-01", "2026-01-31"), ("2026-01-01", "2026-01-31")], "overlap"),
        ([("2026-01-01", "2026-01-31")], None),
    ],
)
def test_custom_periods_leave_no_gap_and_no_overlap(
    periods: list[tuple[str, str]], expected: str | None
) -> None:
    """No gap, no overlap, in whatever order they are given; the two neighbours
    are named.
    """
    found = faulty_periods([cycle(*each) for each in periods])
    assert (found[0] if found else None) == expected
    if found:
        assert found[1] <= found[2]


# -- who has no cycle


@pytest.mark.parametrize(
    ("kind", "week_ending", "effective", "correction", "expected"),
    [
        ("timesheet", date(2010, 9, 9), date(2010, 9, 9), False, True),
        ("timesheet", date(2010, 9, 10), date(2010, 9, 10), False, False),
        ("timesheet", date(2010, 9, 12), date(2010, 9, 12), True, True),
        ("timesheet", date(2001, 1, 7), date(2001, 1, 7), False, True),
        ("product", None, date(2010, 9, 9), False, True),
        ("product", None, date(2010, 9, 10), False, False),
        ("product", None, date(2010, 9, 10), True, False),
    ],
)
def test_a_debtor_without_a_time_group_is_billed_up_to_the_cut_off(
    kind: LineKind, week_ending: date | None, effective: date, correction: bool, expected: bool
) -> None:
    """Timesheets by week ending <= cut-off, products by effective date <=
    cut-off, a correction of a timesheet always.
    """
    assert in_window(kind, week_ending, effective, correction, window(None, THURSDAY)) is expected


@pytest.mark.parametrize("group", [WEEKLY, MONTHLY, FORTNIGHTLY, NON_DATE, None])
def test_products_know_no_cycle(group: TimeGroup | None) -> None:
    """Product lines by effective date <= cut-off, whatever the cycle."""
    assert in_window("product", None, THURSDAY, False, window(group, THURSDAY))
    assert not in_window(
        "product", None, THURSDAY + timedelta(days=1), False, window(group, THURSDAY)
    )


def test_a_debtors_own_time_group_wins_over_the_companys_default() -> None:
    """The default is for debtors who have none."""
    assert time_group_of("weekly", "monthly") == "weekly"
    assert time_group_of("", "monthly") == "monthly"
    assert time_group_of("", "") == ""


def test_timesheets_are_asked_for_in_the_cycle_or_in_the_last_week() -> None:
    """Expected are the weeks of the cycle; who has none is asked for the week
    that ended last, never for one in the future.
    """
    assert expected_weeks(window(MONTHLY, THURSDAY), THURSDAY, THURSDAY) == cycle(
        "2010-08-01", "2010-08-31"
    )
    assert expected_weeks(window(None, THURSDAY), THURSDAY, date(2010, 9, 20)) == cycle(
        "2010-09-03", "2010-09-09"
    )
    assert expected_weeks(
        window(NON_DATE, date(2010, 12, 31)), date(2010, 12, 31), THURSDAY
    ) == cycle("2010-09-03", "2010-09-09")


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (TimeGroup("w", "weekly", "sunday"), "weekly, ends on Sunday"),
        (
            TimeGroup("f", "fortnightly", anchor=date(2026, 3, 1)),
            "fortnightly, a cycle ends on 2026-03-01",
        ),
        (TimeGroup("m", "monthly"), "monthly"),
        (TimeGroup("n", "non-date"), "non-date"),
        (RETAIL, "custom, 3 periods from 2026-01-04 to 2026-04-04"),
    ],
)
def test_each_cycle_describes_itself(group: TimeGroup, words: str) -> None:
    """A time group tells its cycle, with the day on which it ends."""
    assert group.words == words


def test_the_next_cycles_begin_with_the_one_of_today() -> None:
    """console 3, row 8: cycles follow without a gap; custom periods end where they end."""
    weekly = TimeGroup("W", "weekly", ends_on="sunday")
    assert list(map(str, cycles_from(weekly, date(2026, 4, 15), 2))) == [
        "2026-04-13 to 2026-04-19",
        "2026-04-20 to 2026-04-26",
    ]
    last = Span(date(2026, 4, 1), date(2026, 4, 30))
    assert cycles_from(TimeGroup("C", "custom", periods=(last,)), date(2026, 4, 15), 3) == [last]
