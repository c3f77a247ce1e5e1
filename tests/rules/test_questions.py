"""What two cut-offs differ in: why lines are in by one and out by the other."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.grouping import debtors
from services.invoicer.debtors.rules.companies import BillingCompany, DebtorTerms
from services.invoicer.debtors.rules.cycles import Span, TimeGroup
from services.invoicer.questions.rules import CutOffDecisions, LineDifference, explain_difference

SUNDAYS = TimeGroup("sundays", "weekly", ends_on="sunday")
RETAIL = TimeGroup("retail", "custom", periods=(Span(date(2026, 3, 1), date(2026, 4, 4)),))
GROUPS = {"sundays": SUNDAYS, "retail": RETAIL}
TERMS = {
    "A": DebtorTerms("A", "", time_group="sundays"),
    "B": DebtorTerms("B", "", time_group="retail"),
}
COMPANY = BillingCompany("acme")
WEEK = Span(date(2026, 3, 8), date(2026, 3, 8))
WEEKS = Span(date(2026, 3, 8), date(2026, 3, 15))


def decisions(day: int, **changes: str) -> CutOffDecisions:
    """What a cut-off in March decides for A (weekly), B (custom periods) and C (no cycle)."""
    cut_off = date(2026, 3, day)
    decided = debtors("ABC", COMPANY, TERMS, cut_off, time_groups=GROUPS)
    return CutOffDecisions(
        cut_off, {each.debtor_no: each._replace(**changes) for each in decided}, GROUPS
    )


def explained(
    reason: str,
    debtor_no: int = 1,
    weeks: Span | None = WEEK,
    *,
    back: bool = False,
    **changes: Any,
) -> str:
    """Explain lines that are out by 7 March (or, `back`, by the later cut-off) and else in."""
    number = reasons.number(reason)
    pair = (0, number) if back else (number, 0)
    line = LineDifference(debtor_no, "USD", 1, Decimal(1), weeks, *pair)
    return explain_difference(line, decisions(7, **changes), decisions(16, **changes))


LAST_CYCLE = "2026-02-23 to 2026-03-01, the last complete cycle of time group sundays"
IN_A, IN_C = "; in by 2026-03-16 with the cycle 2026-03-09 to 2026-03-15", "; in by 2026-03-16"
WHY: list[tuple[dict[str, Any], str]] = [
    (
        {"reason": reasons.NOT_IN_CYCLE},
        "out by 2026-03-07: week ending 2026-03-08 after"
        f" {LAST_CYCLE} (weekly, ends on Sunday){IN_A}",
    ),
    (
        {"reason": reasons.AFTER_CUT_OFF, "weeks": WEEKS},
        "out by 2026-03-07: weeks ending 2026-03-08 to 2026-03-15 after"
        f" {LAST_CYCLE} (weekly, ends on Sunday){IN_A}",
    ),
    (
        {"reason": reasons.NOT_IN_CYCLE, "debtor_no": 2},
        "out by 2026-03-07: week ending 2026-03-08, and no cycle of time group retail"
        f" (custom, 1 periods from 2026-03-01 to 2026-04-04) is complete{IN_C}",
    ),
    (
        {"reason": reasons.NOT_IN_CYCLE, "debtor_no": 3},
        f"out by 2026-03-07: week ending 2026-03-08 after it{IN_C}",
    ),
    (
        {"reason": reasons.NOT_IN_CYCLE, "debtor_no": 9},
        f"out by 2026-03-07: week ending 2026-03-08 after it{IN_C}",
    ),
    (
        {"reason": reasons.AFTER_CUT_OFF, "debtor_no": 3, "weeks": None},
        f"out by 2026-03-07: their effective dates are after it{IN_C}",
    ),
    (
        {"reason": reasons.DEBTOR_PARKED, "debtor_no": 3, "parked": "why"},
        f"out by 2026-03-07: the debtor is parked: why{IN_C}",
    ),
    (
        {"reason": reasons.WAITS_FOR_TIMESHEETS, "debtor_no": 3, "waiting": "waits"},
        f"out by 2026-03-07: the debtor waits{IN_C}",
    ),
    ({"reason": reasons.DEBTOR_PARKED, "debtor_no": 9}, f"out by 2026-03-07: debtor_parked{IN_C}"),
    (
        {"reason": reasons.SNOOZED, "debtor_no": 3, "waiting": "w"},
        f"out by 2026-03-07: they are on hold{IN_C}",
    ),
    (
        {"reason": reasons.ZERO_TOTAL, "back": True},
        "out by 2026-03-16: they come to zero with the other lines of their document;"
        " in by 2026-03-07 with the cycle 2026-02-23 to 2026-03-01",
    ),
]


@pytest.mark.parametrize(("difference", "expected"), WHY)
def test_a_difference_is_explained_by_the_cut_off_that_leaves_lines_out(
    difference: dict[str, Any], expected: str
) -> None:
    """By the cycle of the debtor, the state of the debtor, or the reason's own words."""
    assert explained(**difference) == expected
