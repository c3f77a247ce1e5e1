"""Which lines come on one document, and what that document is (domain rules 5 and 8; design 5).

Split keys that are never optional: billing company, debtor, currency, tax regime, payment terms, PO number. Credits stand apart from
debits unless the debtor nets them. The store groups lines by these keys; here each group becomes a document, or stays open.
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
    """What is decided for a debtor in this batch. `parked` says why none of the debtor's lines goes in; `left_out` is the reason for which
    nobody asked for them; `waiting` says why no timesheet goes in; each empty if it is not so."""

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
        """The batch group of the debtor."""
        return self.time_group or NO_GROUP

    @property
    def is_in(self) -> bool:
        """Whether something of the debtor may go in."""
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
    """Decides each debtor's terms, window and way with credits, in the order of Account Names. What the debtor's terms leave open is the
    billing company's. Terms hold by the date of the documents, the time group by the cut-off date."""
    on_cut_off = own_terms if on_cut_off is None else on_cut_off
    groups = time_groups or {}
    cycles: dict[str, tuple[str, Window, Span | None]] = {}
    usual = DebtorTerms("", company.payment_terms)
    usual_terms = _terms(usual, company)
    found = []
    for at, name in enumerate(sorted(set(names)), start=1):
        own = own_terms.get(name, usual)
        terms = usual_terms if own is usual else _terms(own, company)
        then = on_cut_off.get(name)
        time_group = time_group_of(then.time_group if then else "", company.default_time_group)
        if time_group not in cycles:
            cycles[time_group] = _cycle(
                time_group, groups.get(time_group), cut_off, today or cut_off
            )
        parked, cycle, expected_weeks = cycles[time_group]
        rule = batch_filter.missing_timesheets or own.missing_timesheets
        left_out = batch_filter.left_out(name, time_group)
        found.append(
            Debtor(
                at,
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
    return found


def _terms(own: DebtorTerms, company: BillingCompany) -> DocumentTerms:
    """The split keys of a debtor's terms."""
    wording = (
        "" if own.tax_regime == "standard" else own.tax_wording or DEFAULT_WORDING[own.tax_regime]
    )
    return DocumentTerms(own.tax_regime, wording, own.payment_terms or company.payment_terms)


def _cycle(
    name: str, group: TimeGroup | None, cut_off: date, today: date
) -> tuple[str, Window, Span | None]:
    """What all debtors of a time group have in common: why they are parked, their window, the days whose weeks are asked for."""
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
    """The debtors who wait if a timesheet is missing: only of them need anybody ask what is expected."""
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
    """The debtors, and why some of them wait: with the timesheets of all cycles, not with products."""
    if not timesheet_counts:
        return list(decided)
    found = []
    for each in decided:
        why = ""
        if each.is_in and each.expected_weeks is not None:
            why = waits(
                each.missing_timesheets,
                timesheet_counts.get(each.account_name, NONE_EXPECTED),
                each.expected_weeks,
                today,
            )
        found.append(each._replace(waiting=why) if why else each)
    return found
