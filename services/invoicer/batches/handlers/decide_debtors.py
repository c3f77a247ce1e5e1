"""Decides for each debtor, before lines are selected: terms, window, parked, left out, waiting."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.batch_filter import (
    NO_FILTER,
    BatchFilter,
    check_chosen,
    check_excluded_debtors,
    check_groups,
)
from services.invoicer.batches.rules.expected import TimesheetCount, count_timesheets
from services.invoicer.batches.rules.grouping import Debtor, debtors, may_be_waiting, with_waiting
from services.invoicer.batches.rules.option_findings import TWO_INVOICE_OPTIONS
from services.invoicer.batches.rules.safety_checks import TERMS
from services.invoicer.batches.store import selection
from services.invoicer.batches.store.expected import placements_for, timesheets_for
from services.invoicer.debtors.rules.companies import BillingCompany, DebtorTerms
from services.invoicer.debtors.rules.cycles import Span, TimeGroup
from services.invoicer.debtors.store import companies, time_groups
from services.invoicer.options.rules import InvoiceOption


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What a command asks of a batch besides its company and cut-off.

    `invoice_date`: the date of the documents, which decides the debtors' terms; None: today.
    `more_debtors`: debtors to decide although they have no open lines.
    `count_all`: count the expected timesheets of debtors that do not wait as well.
    """

    batch_filter: BatchFilter = NO_FILTER
    invoice_date: date | None = None
    more_debtors: Collection[str] = ()
    count_all: bool = False


DEFAULT_REQUEST = BatchRequest()


@dataclass(frozen=True, slots=True)
class DebtorDecisions:
    """The debtors with their decisions, and the data that the decisions depend on."""

    debtors: Sequence[Debtor]
    own_terms: dict[str, DebtorTerms]
    on_cut_off: dict[str, DebtorTerms]
    time_groups: dict[str, TimeGroup]
    known_time_groups: frozenset[str]
    timesheet_counts: Mapping[str, TimesheetCount]
    option_conflicts: Mapping[str, str] = field(default_factory=dict)

    def parked_code(self, debtor: Debtor) -> str:
        """Return the code of a debtor that is parked because of settings."""
        return TWO_INVOICE_OPTIONS if debtor.account_name in self.option_conflicts else TERMS


@dataclass(frozen=True, slots=True)
class OptionsInForce:
    """The invoice options of a company that has some, and the grouping lists of its countries.

    `conflicts`: default options of one rank, by the debtor of an item that they both take.
    """

    options: Mapping[str, InvoiceOption]
    grouping: Mapping[str, Sequence[str]]
    conflicts: Mapping[str, str]

    @property
    def have_workflows(self) -> bool:
        """Whether drafts of an option must be approved."""
        return any(option.active and option.workflow for option in self.options.values())

    @property
    def settings(self) -> dict[str, Any]:
        """The definitions by name, as settings of a batch."""
        return {
            f"invoice option {name}": option.values for name, option in self.options.items()
        } | {f"grouping of {country}": list(found) for country, found in self.grouping.items()}


def with_option_conflicts(
    decisions: DebtorDecisions, conflicts: Mapping[str, str]
) -> DebtorDecisions:
    """Park the debtors of items that two default options of one rank take."""
    if not conflicts:
        return decisions
    debtors = [
        each._replace(parked=f"options {conflicts[each.account_name]} both take its items")
        if each.account_name in conflicts and not each.parked
        else each
        for each in decisions.debtors
    ]
    return replace(decisions, debtors=debtors, option_conflicts=conflicts)


async def decide(
    connection: AsyncConnection,
    company: BillingCompany,
    names: Collection[str],
    request: BatchRequest,
    *,
    today: date,
    cut_off: date,
) -> DebtorDecisions:
    """Decide the debtors of a batch.

    Refused if the batch filter names groups, debtors, documents or workers that do not exist.
    """
    on = request.invoice_date or today
    own_terms = await companies.debtor_terms_for(connection, company.billing_company, on)
    on_cut_off = (
        own_terms
        if on == cut_off
        else await companies.debtor_terms_for(connection, company.billing_company, cut_off)
    )
    batch_filter = request.batch_filter
    known = await time_groups.time_group_names(connection)
    used = {terms.time_group for terms in on_cut_off.values()} | {company.default_time_group}
    groups = await time_groups.time_groups_for(connection, used | batch_filter.groups)
    check_groups(batch_filter, known, groups, cut_off)
    name = company.billing_company
    unknown = await selection.unknown_documents(connection, name, batch_filter.documents)
    check_chosen("document", unknown, name)
    unknown = await selection.unknown_workers(connection, name, batch_filter.workers)
    check_chosen("worker", unknown, name)
    missing = batch_filter.excluded.difference(names)
    if missing:
        account_names = await companies.account_names(connection, company.billing_company)
        check_excluded_debtors(missing - account_names, account_names | set(names))
    decisions = debtors(
        {*names, *request.more_debtors},
        company,
        own_terms,
        cut_off,
        on_cut_off=on_cut_off,
        time_groups=groups,
        batch_filter=batch_filter,
        today=today,
    )
    counted = decisions if request.count_all else may_be_waiting(decisions, today)
    timesheet_counts = await timesheet_counts_for(
        connection,
        company.billing_company,
        {each.account_name: each.expected_weeks for each in counted if each.expected_weeks},
    )
    return DebtorDecisions(
        with_waiting(decisions, timesheet_counts, today),
        own_terms,
        on_cut_off,
        groups,
        known,
        timesheet_counts,
    )


async def timesheet_counts_for(
    connection: AsyncConnection, billing_company: str, expected_weeks: Mapping[str, Span]
) -> dict[str, TimesheetCount]:
    """Count, by Account Name, the expected and the received timesheets of these week endings."""
    if not expected_weeks:
        return {}
    placements = await placements_for(connection, billing_company, expected_weeks)
    days = Span(
        min(each.first_day for each in expected_weeks.values()),
        max(each.last_day for each in expected_weeks.values()),
    )
    timesheets, week_ends = await timesheets_for(
        connection, {each.requirement_id for each in placements}, days
    )
    return count_timesheets(placements, timesheets, expected_weeks, week_ends)
