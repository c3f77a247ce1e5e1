"""What a batch decides for each debtor: terms, window, parked, left out or waiting.

Lines are on one document if they have the same billing company, debtor, currency, tax regime,
payment terms and PO number. Credits have documents of their own unless the debtor nets them. The
store groups the lines by these keys.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

from services.invoicer.batches.rules.batch_filter import NO_FILTER, BatchFilter
from services.invoicer.batches.rules.expected import NONE_EXPECTED, TimesheetCount, may_wait, waits
from services.invoicer.debtors.rules.companies import (
    DEFAULT_WORDING,
    BillingCompany,
    CreditSplit,
    DebtorTerms,
    DocumentTerms,
)
from services.invoicer.debtors.rules.cycles import (
    NO_GROUP,
    Span,
    TimeGroup,
    Window,
    check_periods_reach,
    expected_weeks,
    time_group_of,
    window,
)


class Debtor(NamedTuple):
    """What is decided for a debtor in this batch.

    `parked`: why none of its lines is billed. `left_out`: the reason if the batch filter leaves
    it out. `waiting`: why none of its timesheets is billed. Each may be empty.
    """

    debtor_no: int
    account_name: str
    terms: DocumentTerms
    credits: CreditSplit
    zero_documents: bool
    window: Window
    parked: str = ""
    time_group: str = ""
    left_out: str = ""
    missing_timesheets: str = "bill"
    expected_weeks: Span | None = None
    waiting: str = ""

    @property
    def batch_group(self) -> str:
        """The name of the debtor's batch group."""
        return self.time_group or NO_GROUP

    @property
    def is_in(self) -> bool:
        """Whether the batch may bill something of the debtor."""
        return not self.parked and not self.left_out


def debtors(
    names: Iterable[str],
    company: BillingCompany,
    own_terms: Mapping[str, DebtorTerms],
    cut_off: date,
    *,
    on_cut_off: Mapping[str, DebtorTerms] | None = None,
    time_groups: Mapping[str, TimeGroup] | None = None,
    batch_filter: BatchFilter = NO_FILTER,
    today: date | None = None,
) -> list[Debtor]:
    """Decide each debtor's terms, window and credit split, in the order of Account Names.

    The billing company's defaults fill in what the debtor's terms leave open. Terms are those of
    the date of the documents (`own_terms`), the time group is that of the cut-off (`on_cut_off`).
    """
    on_cut_off = own_terms if on_cut_off is None else on_cut_off
    groups = time_groups or {}
    cycles: dict[str, tuple[str, Window, Span | None]] = {}
    default = DebtorTerms("", company.payment_terms)
    default_terms = document_terms(default, company)
    decided = []
    for number, name in enumerate(sorted(set(names)), start=1):
        own = own_terms.get(name, default)
        terms = default_terms if own is default else document_terms(own, company)
        time_group = time_group_of(
            on_cut_off.get(name, default).time_group, company.default_time_group
        )
        if time_group not in cycles:
            cycles[time_group] = _cycle(
                time_group, groups.get(time_group), cut_off, today or cut_off
            )
        parked, cycle, expected_weeks = cycles[time_group]
        rule = batch_filter.missing_timesheets or own.missing_timesheets
        left_out = batch_filter.left_out(name, time_group)
        decided.append(
            Debtor(
                number,
                name,
                terms,
                own.credits,
                own.zero_documents,
                cycle,
                parked,
                time_group,
                left_out,
                rule,
                expected_weeks,
            )
        )
    return decided


def document_terms(own: DebtorTerms, company: BillingCompany) -> DocumentTerms:
    """Return the split keys of a debtor's terms."""
    wording = (
        "" if own.tax_regime == "standard" else own.tax_wording or DEFAULT_WORDING[own.tax_regime]
    )
    return DocumentTerms(own.tax_regime, wording, own.payment_terms or company.payment_terms)


def _cycle(
    name: str, group: TimeGroup | None, cut_off: date, today: date
) -> tuple[str, Window, Span | None]:
    """Return what a time group decides: why its debtors are parked, the window, expected weeks."""
    parked = (
        check_periods_reach(group, cut_off)
        if group
        else f"the debtor's time group {name!r} does not exist"
        if name
        else ""
    )
    if parked:
        return parked, Window(weeks_to=cut_off, products_to=cut_off), None
    cycle = window(group, cut_off)
    return "", cycle, expected_weeks(cycle, cut_off, today)


def may_be_waiting(decided: Iterable[Debtor], today: date) -> list[Debtor]:
    """Return the debtors that wait if a timesheet is missing: only theirs must be counted."""
    return [
        each
        for each in decided
        if each.is_in
        and each.expected_weeks is not None
        and may_wait(each.missing_timesheets, each.expected_weeks.last_day, today)
    ]


def with_waiting(
    decided: Iterable[Debtor], timesheet_counts: Mapping[str, TimesheetCount], today: date
) -> list[Debtor]:
    """Return the debtors with the reason why some of them wait.

    A debtor that waits holds back its timesheets of all cycles, but not its products.
    """
    if not timesheet_counts:
        return list(decided)
    debtors = []
    for each in decided:
        why = ""
        if each.is_in and each.expected_weeks is not None:
            counts = timesheet_counts.get(each.account_name, NONE_EXPECTED)
            why = waits(each.missing_timesheets, counts, each.expected_weeks, today)
        debtors.append(each._replace(waiting=why) if why else each)
    return debtors
