"""Expected timesheets, and the debtors that wait for them."""

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
    """One timesheet for each week with an active day."""
    assert len(weeks_of(placements(start=start, end=end), WEEK)) == expected


def test_a_months_weeks_are_those_that_end_in_it() -> None:
    """The week ending decides, on the weekday that the timesheets have."""
    assert weeks_of(placements(), MARCH) == [date(2026, 3, day) for day in (1, 8, 15, 22, 29)]
    assert weeks_of(placements(), MARCH, week_ends=6) == [
        date(2026, 3, day) for day in (7, 14, 21, 28)
    ]


def test_weeks_in_which_the_requirement_was_not_filled_expect_no_timesheet() -> None:
    """No timesheet if the requirement is not Filled.

    Filled as of the week ending; the timesheet of another week could not be billed.
    """
    assert weeks_of(
        placements(filled_from=date(2026, 3, 8), filled_to=date(2026, 3, 22)), MARCH
    ) == [
        date(2026, 3, 8),
        date(2026, 3, 15),
    ]


def test_what_is_in_and_what_is_missing() -> None:
    """One timesheet a week; the counts of expected and received ones."""
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
    assert (found["Mercy"].received, found["Mercy"].expected) == (2, 4)


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
    """Wait, bill what is in, or wait N days after the end of the cycle.

    A debtor whose timesheets are all in does not wait.
    """
    day = date.fromisoformat(today)
    assert bool(waits(rule, MISSING, WEEK, day)) is expected
    assert may_wait(rule, WEEK.last_day, day) is expected
    assert waits(rule, TimesheetCount(16, 16), WEEK, day) == ""


def test_the_message_says_what_a_debtor_waits_for() -> None:
    """The message says how many are missing, the first one, and until when the debtor waits."""
    why = waits("wait:3", MISSING, WEEK, SUNDAY)
    assert "14 of 16 in" in why
    assert "w on REQ, week ending 2026-03-08 and 1 more" in why
    assert "from 2026-03-11 on" in why


def test_each_requirement_has_weeks_that_end_on_its_own_day() -> None:
    """The weekday of a requirement's timesheets decides; Sunday where there is none yet."""
    for week_ends, day in (({"REQ": 3}, date(2026, 3, 4)), ({"OTHER": 3}, SUNDAY)):
        found = count_timesheets([placements()], [], {"Mercy": WEEK}, week_ends)["Mercy"]
        assert found.missing == (ExpectedTimesheet("REQ", "w", day),)


def test_the_message_says_no_more_than_there_is() -> None:
    """One timesheet is missing, and the debtor waits for it without an end."""
    why = waits("wait", TimesheetCount(2, 1, MISSING.missing[:1]), WEEK, SUNDAY)
    assert why.endswith("missing: w on REQ, week ending 2026-03-08")
