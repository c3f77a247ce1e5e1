"""Several cut-offs side by side: why a line is in a batch by one of them and not by the other (domain rules 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.grouping import Debtor
from services.invoicer.debtors.rules.cycles import NO_COMPLETE_CYCLE, Span, TimeGroup

WORDS: Mapping[str, str] = {
    reasons.SCHEDULED: "their day has not come",
    reasons.SNOOZED: "they are on hold",
    reasons.EDIT_MEETS_REVISION: "an edit met a revision",
    reasons.UNKNOWN_NODE: "their billto node was never sent",
    reasons.NO_ACCOUNT_NAME: "no node on their path has an Account Name",
    reasons.GROUP_NOT_CHOSEN: "their batch group was not chosen",
    reasons.DEBTOR_LEFT_OUT: "their debtor was left out",
    reasons.NO_TAX_RATE: "their tax code has no rate",
    reasons.ZERO_TOTAL: "they come to zero with the lines that they would stand with",
}


@dataclass(frozen=True, slots=True)
class CutOffDecisions:
    """What one cut-off decides for the debtors, by number, with the time groups by name."""

    cut_off: date
    debtors: Mapping[int, Debtor]
    time_groups: Mapping[str, TimeGroup]


@dataclass(frozen=True, slots=True)
class LineDifference:
    """Lines of one debtor and currency that are in by one cut-off only, with the reason (a number) for which they are out by the other,
    and the ids of the first of them."""

    debtor_no: int
    currency: str
    lines: int
    amount: Decimal
    weeks: Span | None
    reason_before: int
    reason_after: int
    pay_line_ids: tuple[int, ...] = ()


def explain_difference(
    difference: LineDifference, before: CutOffDecisions, after: CutOffDecisions
) -> str:
    """Why these lines are in by one cut-off and out by the other."""
    side, number = (
        (before, difference.reason_before)
        if difference.reason_before
        else (after, difference.reason_after)
    )
    reason, debtor = reasons.REASONS[number - 1], side.debtors.get(difference.debtor_no)
    said = _out(reason, debtor, side, difference.weeks)
    other = after if side is before else before
    return f"out by {side.cut_off}: {said}; in by {other.cut_off}{_cycle(other.debtors.get(difference.debtor_no))}"


def _out(reason: str, debtor: Debtor | None, side: CutOffDecisions, weeks: Span | None) -> str:
    if debtor is not None and reason == reasons.DEBTOR_PARKED:
        return f"the debtor is parked, {debtor.parked}"
    if debtor is not None and reason == reasons.WAITS_FOR_TIMESHEETS:
        return f"the debtor {debtor.waiting}"
    if reason != reasons.NOT_IN_CYCLE:
        return WORDS.get(reason, reason)
    if weeks is None:
        return "their effective dates are after it"
    ends = (
        f"week ending {weeks.first_day}"
        if weeks.first_day == weeks.last_day
        else f"weeks ending {weeks}"
    )
    group = side.time_groups.get(debtor.time_group) if debtor else None
    if debtor is None or group is None:
        return f"{ends} after it"
    if debtor.window.weeks_to == NO_COMPLETE_CYCLE:
        return f"{ends}, and no cycle of time group {group.name} ({group.words}) is complete"
    return f"{ends} after {debtor.window.cycle}, the last complete cycle of time group {group.name} ({group.words})"


def _cycle(debtor: Debtor | None) -> str:
    return (
        f" with the cycle {debtor.window.cycle}"
        if debtor is not None and debtor.window.cycle is not None
        else ""
    )
