"""Expected timesheets, and who waits for them. Source: domain rules 4."""

from datetime import date, timedelta
from typing import Any

import pytest

from services.invoicer.batches.rules.expected import (
    ExpectedPlacement,
    ExpectedTimesheet,
    TimesheetCount,
    count_timesheets,
    may_wait,
    waits,
    weeks_of,
)
from services.invoicer.debtors.rules.cycles import Span

WEEK = Span(date(2026, 3, 2), date(2026, 3, 8))
MARCH = Span(date(2026, 3, 1), date(2026, 3, 31))
SUNDAY = date(2026, 3, 8)


def placements(
    worker: str = "w",
    start: str = "2026-01-01",
    end: str | None = None,
    account: str = "Mercy",
    **changes: Any,
) -> ExpectedPlacement:
    return ExpectedPlacement(
        account,
        "REQ",
        worker,
        date.fromisoformat(start),
        date.fromisoformat(end) if end else None,
        **changes,
    )


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-01-01", None, 1),
        ("2026-03-08", None, 1),
        ("2026-03-09", None, 0),
        ("2026-01-01", "2026-03-02", 1),
        ("2026-01-01", "2026-03-01", 0),
        ("2026-03-04", "2026-03-04", 1),
    ],
)
def test_a_placement_that_is_active_on_any_day_of_the_week_is_expected(
    start: str, end: str | None, expected: int
) -> None:
    """Domain rules 4: expected = placements active on any day of the week, one timesheet a week."""
    assert len(weeks_of(placements(start=start, end=end), WEEK)) == expected


def test_a_months_weeks_are_those_that_end_in_it() -> None:
    """Domain rules 4: the week ending decides; which weekday that is, the timesheets tell."""
    assert weeks_of(placements(), MARCH) == [date(2026, 3, day) for day in (1, 8, 15, 22, 29)]
    assert weeks_of(placements(), MARCH, week_ends=6) == [
        date(2026, 3, day) for day in (7, 14, 21, 28)
    ]


def test_weeks_in_which_the_order_was_not_filled_bring_no_timesheet() -> None:
    """Domain rules 3: Filled as of the week ending; a timesheet of another week could not be billed, so nobody waits for it."""
    assert weeks_of(
        placements(filled_from=date(2026, 3, 8), filled_to=date(2026, 3, 22)), MARCH
    ) == [
        date(2026, 3, 8),
        date(2026, 3, 15),
    ]


def test_what_is_in_and_what_is_missing() -> None:
    """Domain rules 4: one timesheet a week; the group shows how many of how many are in."""
    workers = [placements(f"w{n}") for n in range(4)]
    received = [
        ExpectedTimesheet("REQ", "w0", SUNDAY),
        ExpectedTimesheet("REQ", "w1", SUNDAY - timedelta(days=1)),
        ExpectedTimesheet("REQ", "w2", SUNDAY - timedelta(days=7)),
    ]
    found = count_timesheets(
        [*workers, placements("w0", account="Mercy"), placements("x", account="Other")],
        received,
        {"Mercy": WEEK},
        {},
    )
    assert found == {
        "Mercy": TimesheetCount(
            4, 2, (ExpectedTimesheet("REQ", "w2", SUNDAY), ExpectedTimesheet("REQ", "w3", SUNDAY))
        )
    }
    assert found["Mercy"].words == "2 of 4 in"


MISSING = TimesheetCount(
    16, 14, (ExpectedTimesheet("REQ", "w", SUNDAY), ExpectedTimesheet("REQ", "x", SUNDAY))
)


@pytest.mark.parametrize(
    ("rule", "today", "expected"),
    [
        ("bill", "2026-03-08", False),
        ("wait", "2026-03-08", True),
        ("wait", "2027-03-08", True),
        ("wait:3", "2026-03-10", True),
        ("wait:3", "2026-03-11", False),
        ("wait:0", "2026-03-08", False),
    ],
)
def test_wait_bill_or_wait_some_days(rule: str, today: str, expected: bool) -> None:
    """Domain rules 4: wait, bill what is in, or wait N days after the cycle's end; who has everything waits for nothing."""
    day = date.fromisoformat(today)
    assert bool(waits(rule, MISSING, WEEK, day)) is expected
    assert may_wait(rule, WEEK.last_day, day) is expected
    assert waits(rule, TimesheetCount(16, 16), WEEK, day) == ""


def test_who_waits_says_for_what() -> None:
    """An operator reads how many are missing, which one first, and until when."""
    why = waits("wait:3", MISSING, WEEK, SUNDAY)
    assert "14 of 16 in" in why
    assert "w on REQ of 2026-03-08 and others" in why
    assert "from 2026-03-11 on" in why
