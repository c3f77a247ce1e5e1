"""Compares two cut-offs: why a line is in a batch by one and out by the other.

Also says what gives a line an Account Name, and why a line is out that was rejected or
is on a draft.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.grouping import Debtor
from services.invoicer.debtors.rules.companies import Agreement
from services.invoicer.debtors.rules.cycles import NO_COMPLETE_CYCLE, Span, TimeGroup
from services.invoicer.drafts.rules.invoicing_status import TITLES
from services.invoicer.drafts.rules.names import draft_name

WORDS: Mapping[str, str] = {
    reasons.SCHEDULED: "they are due later",
    reasons.SNOOZED: "they are on hold",
    reasons.EDIT_MEETS_REVISION: "a later revision changed what an operator had edited",
    reasons.TO_BE_PRICED: "their document waits to be priced again",
    reasons.UNKNOWN_NODE: "the ATS has not sent their billto node",
    reasons.NO_ACCOUNT_NAME: "their billto node has no Account Name on its path",
    reasons.GROUP_NOT_CHOSEN: "the batch does not include their batch group",
    reasons.DEBTOR_LEFT_OUT: "the batch excludes their debtor",
    reasons.OPTION_DOES_NOT_FIT: "their engagement names an option that does not take them",
    reasons.NO_INVOICE_OPTION: "no default invoice option takes them",
    reasons.NOT_VISIBLE: "their billing filter hides them from the party of their option",
    reasons.OPTION_NOT_CHOSEN: "the batch is limited to other invoice options",
    reasons.CREDIT_LEFT_OUT: "the batch leaves credits out",
    reasons.DOCUMENT_NOT_CHOSEN: "the batch is limited to other documents",
    reasons.NO_TAX_RATE: "their tax code has no rate",
    reasons.ZERO_TOTAL: "they come to zero with the other lines of their document",
}


def no_account_name(name: str, node: str, agreement: Agreement | None) -> tuple[str, str]:
    """Return message and fix of a line whose debtor, or whose supplier, has no Account Name."""
    if agreement is None:
        return (
            f"{name} is at billto node {node}, which has no Account Name on its path",
            "give the node, its client or its company an Account Name in the ATS",
        )
    return (
        f"{name} is to pay supplier {agreement.supplier_id}, which has no Account Name",
        f"`backoffice suppliers agreement set {agreement.supplier_id} --billing-company"
        f" {agreement.buyer} --account-name NAME`, or let the ATS send it on supplier-changed",
    )


@dataclass(frozen=True, slots=True)
class CutOffDecisions:
    """What one cut-off decides: the debtors by number, and the time groups by name."""

    cut_off: date
    debtors: Mapping[int, Debtor]
    time_groups: Mapping[str, TimeGroup]


@dataclass(frozen=True, slots=True)
class LineDifference:
    """Lines of one debtor and currency that are in by only one of two cut-offs, added up.

    `reason_before`, `reason_after`: the numbers of the reasons that exclude them, 0 if they are in.
    `pay_line_ids`: the first ids.
    """

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
    """Say why these lines are in by one cut-off and out by the other."""
    out, in_, number = (
        (before, after, difference.reason_before)
        if difference.reason_before
        else (after, before, difference.reason_after)
    )
    debtor_out = out.debtors.get(difference.debtor_no)
    debtor_in = in_.debtors.get(difference.debtor_no)
    why = _why_out(reasons.REASONS[number - 1], debtor_out, out.time_groups, difference.weeks)
    cycle = debtor_in.window.cycle if debtor_in else None
    with_cycle = f" with the cycle {cycle}" if cycle else ""
    return f"out by {out.cut_off}: {why}; in by {in_.cut_off}{with_cycle}"


def _why_out(
    reason: str,
    debtor: Debtor | None,
    time_groups: Mapping[str, TimeGroup],
    weeks: Span | None,
) -> str:
    if debtor is not None and reason == reasons.DEBTOR_PARKED:
        return f"the debtor is parked: {debtor.parked}"
    if debtor is not None and reason == reasons.WAITS_FOR_TIMESHEETS:
        return f"the debtor {debtor.waiting}"
    if reason not in (reasons.NOT_IN_CYCLE, reasons.AFTER_CUT_OFF):
        return WORDS.get(reason, reason)
    if weeks is None:
        return "their effective dates are after it"
    ends = (
        f"week ending {weeks.first_day}"
        if weeks.first_day == weeks.last_day
        else f"weeks ending {weeks}"
    )
    group = time_groups.get(debtor.time_group) if debtor else None
    if debtor is None or group is None:
        return f"{ends} after it"
    if debtor.window.weeks_to == NO_COMPLETE_CYCLE:
        return f"{ends}, and no cycle of time group {group.name} ({group.words}) is complete"
    return (
        f"{ends} after {debtor.window.cycle}, the last complete cycle of time group"
        f" {group.name} ({group.words})"
    )


def rejected(line: Any, rejection: Any) -> tuple[str, str, str]:
    """Return code, message and fix of a line that was on a draft which was rejected."""
    return (
        reasons.REJECTED,
        f"pay line {line.pay_line_id} was on {rejection.draft}, which {rejection.actor} rejected:"
        f" {rejection.reason} ({rejection.rejected_at:%Y-%m-%d})",
        f"change the item, or release it: `backoffice pay-lines release {line.pay_line_id}`",
    )


def on_a_draft(line: Any) -> tuple[str, str, str]:
    """Return code, message and fix of a line that is on a draft."""
    name = draft_name(line.draft_id)
    return (
        "on_a_draft",
        f"pay line {line.pay_line_id} is on draft {name}, version {line.version}, which is"
        f" {TITLES[line.draft_status]}",
        f"see `backoffice drafts show {name}`",
    )
