"""Impossible worked time parks the debtor who would pay for it."""

from datetime import date
from decimal import Decimal

from services.invoicer.batches.rules.safety_checks import (
    HOURS_OVER_BOUND,
    WORKED_TWICE,
    ParkedDebtor,
    SafetyViolation,
    UnsafeDebtor,
    parked,
)
from tests.twins import WorkedTime, safety_violations

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)


def worked(
    hours: str,
    document: str = "T-1",
    day: date = MONDAY,
    requirement: str = "R-1",
    kind: str = "REG",
) -> WorkedTime:
    """Return time of worker W-1."""
    return WorkedTime("W-1", day, requirement, kind, document, Decimal(hours))


def test_more_hours_than_the_bound_are_found() -> None:
    """24 h on one day are possible, 24.25 h on two requirements are not."""
    assert safety_violations([worked("20"), worked("4", requirement="R-2")], 24) == []
    found = safety_violations([worked("20"), worked("4.25", "T-2", requirement="R-2")], 24)
    assert found == [
        SafetyViolation(HOURS_OVER_BOUND, "W-1", MONDAY, "", "", Decimal("24.25"), ("T-1", "T-2"))
    ]
    assert safety_violations([worked("20"), worked("20", day=TUESDAY)], 24) == []


def test_the_same_time_in_two_timesheets_is_found() -> None:
    """One worker, day, requirement and time type in two originals; twice in one is no violation."""
    assert safety_violations([worked("4"), worked("4")], 24) == []
    assert safety_violations([worked("4"), worked("4", "T-2", kind="OT")], 24) == []
    found = safety_violations([worked("4", "T-2"), worked("3")], 24)
    assert found == [
        SafetyViolation(WORKED_TWICE, "W-1", MONDAY, "R-1", "REG", Decimal(7), ("T-1", "T-2"))
    ]


def test_a_debtor_is_parked_for_one_reason_with_its_first_day() -> None:
    """Too many hours come first; the debtors are sorted by Account Name."""
    over = SafetyViolation(
        HOURS_OVER_BOUND, "W-1", MONDAY, "", "", Decimal("25.50"), tuple("abcdefg")
    )
    twice = SafetyViolation(WORKED_TWICE, "W-2", TUESDAY, "R-1", "REG", Decimal(7), ("T-1", "T-2"))
    unsafe = [
        UnsafeDebtor(1, WORKED_TWICE, 1, twice, ("T-1", "T-2")),
        UnsafeDebtor(1, HOURS_OVER_BOUND, 3, over, ("a",)),
        UnsafeDebtor(2, WORKED_TWICE, 2, twice, ("T-1", "T-2")),
    ]
    assert parked(unsafe, {1: "Mercy", 2: "Alpha"}, 24) == [
        ParkedDebtor(
            "Alpha",
            WORKED_TWICE,
            "worker W-2 has REG on 2026-03-03 for R-1 in two timesheets (T-1, T-2),"
            " and 1 more such day",
            ("T-1", "T-2"),
        ),
        ParkedDebtor(
            "Mercy",
            HOURS_OVER_BOUND,
            "worker W-1 has 25.5 h on 2026-03-02, more than 24 (a, b, c, d, e),"
            " and 2 more such days",
            ("a",),
        ),
    ]
    (one,) = parked(unsafe[:1], {1: "Mercy"}, 24)
    assert one.message.endswith("(T-1, T-2)")
