"""Cut-off and cycles, by the date. Source: domain rules 4."""

from datetime import date

import pytest

from services.invoicer.rules.cycles import Window, in_window, time_group_of, window
from shared.terms import LineKind

CUT_OFF = date(2010, 9, 9)


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
    """Domain rules 4: timesheets by week ending <= cut-off, products by effective date <= cut-off, a correction of a timesheet always."""
    assert in_window(kind, week_ending, effective, correction, window("", CUT_OFF)) is expected


def test_a_non_date_window_takes_all_that_is_ready() -> None:
    """Domain rules 4: non-date, everything that is ready; products still go by the cut-off."""
    non_date = Window(weeks_to=None, products_to=CUT_OFF)
    assert in_window("timesheet", date(2030, 1, 6), date(2030, 1, 6), False, non_date)
    assert not in_window("product", None, date(2010, 9, 10), False, non_date)


def test_a_debtors_own_time_group_wins_over_the_companys_default() -> None:
    """Domain rules 4: the default is for debtors who have none."""
    assert time_group_of("weekly", "monthly") == "weekly"
    assert time_group_of("", "monthly") == "monthly"
    assert time_group_of("", "") == ""


def test_an_unknown_time_group_has_no_window() -> None:
    """A cycle that nobody defined must not be taken for another one."""
    with pytest.raises(ValueError, match="no time group 'weekly'"):
        window("weekly", CUT_OFF)
