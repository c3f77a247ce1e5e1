"""Billing cycles: up to which date the lines of a debtor are in a batch (domain rules 4).

A cycle comes to the store as a window per debtor, decided here; the store compares dates with it and knows no calendar. Today there is
one cycle, that of a debtor without a time group: everything up to the cut-off date.
"""

from dataclasses import dataclass
from datetime import date

from shared.terms import LineKind

KNOWN_TIME_GROUPS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Window:
    """Timesheet lines are in by week ending up to `weeks_to` (None: whatever is ready), product lines by effective date up to
    `products_to`. `weeks_from` is the cycle's first day: what is older and not invoiced is late."""

    weeks_to: date | None
    products_to: date
    weeks_from: date | None = None


def time_group_of(debtors_own: str, company_default: str) -> str:
    """The debtor's time group, else the billing company's default; empty for none."""
    return debtors_own or company_default


def window(time_group: str, cut_off: date) -> Window:
    """The window of a debtor for a cut-off date. Without a time group: week ending, or effective date, on or before the cut-off."""
    if time_group:
        raise ValueError(f"there is no time group {time_group!r}")
    return Window(weeks_to=cut_off, products_to=cut_off)


def in_window(kind: LineKind, week_ending: date | None, effective_date: date, correction: bool, cycle: Window) -> bool:
    """Whether a line that is due is in the cycle. A correction of an invoiced timesheet is in whatever its week ending.

    Its twin in SQL is the column `out_no` of the store's selection.
    """
    if kind == "product":
        return effective_date <= cycle.products_to
    return correction or cycle.weeks_to is None or (week_ending or effective_date) <= cycle.weeks_to
