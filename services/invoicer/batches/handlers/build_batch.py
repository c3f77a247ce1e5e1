"""Plans a batch: decides its debtors, selects and groups its lines, parks unsafe debtors.

Preview, health check and questions need only the plan; generate closes its documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.decide_debtors import (
    DEFAULT_REQUEST,
    BatchRequest,
    DebtorDecisions,
    OptionsInForce,
    decide,
    with_option_conflicts,
)
from services.invoicer.batches.rules import allowances as allowance_rules
from services.invoicer.batches.rules import reasons, safety_checks
from services.invoicer.batches.rules.batch_filter import BatchFilter, check_options
from services.invoicer.batches.rules.grouping import Debtor
from services.invoicer.batches.rules.health_snapshot import NONE, CountedIds
from services.invoicer.batches.rules.safety_checks import ParkedDebtor
from services.invoicer.batches.store import allowances, line_options, selection
from services.invoicer.batches.store import safety_checks as safety_store
from services.invoicer.batches.store.selection import SelectedGroups
from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.debtors.rules.companies import BillingCompany, Buyer, DebtorTerms, TaxRate
from services.invoicer.debtors.rules.cycles import TimeGroup
from services.invoicer.debtors.store import companies
from services.invoicer.invoices.handlers.closing import document_totals
from services.invoicer.invoices.rules.documents import (
    Document,
    Group,
    build_documents,
    recheck_totals,
    taxed_per_document,
)
from services.invoicer.invoices.rules.numbers import Series
from services.invoicer.invoices.rules.totals import tax_spans
from services.invoicer.invoices.store import closing, numbers
from services.invoicer.options import store as option_store
from shared.clock import today_of
from shared.database import run_in_thread
from shared.money import plain

NOT_SHAPING = {"time_group", "emails", "attach", "mail_subject", "mail_text"}
"""Terms that a batch does not depend on, or that have a setting of their own."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """A batch that is selected and grouped, but not numbered.

    The lines are in the store's temporary tables. `zero`: the groups that come to zero and stay
    open. `left_out`: lines by reason. `totals`: per currency. `without_lines`: chosen documents of
    which no line is open.
    """

    company: BillingCompany
    series: Series
    today: date
    cut_off: date
    rates: Sequence[TaxRate]
    decisions: DebtorDecisions
    batch_filter: BatchFilter
    documents: Sequence[Document]
    zero: Sequence[Group]
    left_out: dict[str, int]
    totals: Sequence[dict[str, object]]
    parked: Sequence[ParkedDebtor] = ()
    double_days: CountedIds = NONE
    without_lines: Sequence[str] = ()
    options: OptionsInForce | None = None

    @property
    def debtors(self) -> Sequence[Debtor]:
        """The debtors of open lines, with what is decided for each."""
        return self.decisions.debtors

    @property
    def settings(self) -> dict[str, Any]:
        """Everything on file that shaped the batch, and its filter, by name.

        A later batch compares its settings with these and reports which changed.
        """
        return {
            **{
                f"billing company {name}": getattr(self.company, name)
                for name in self.company.__slots__
                if name != "billing_company"
            },
            **{
                f"tax {rate.tax_code} from {rate.from_date}": plain(rate.percent)
                for rate in self.rates
            },
            **{
                f"terms of {name}": {
                    field: value
                    for field, value in terms.values.items()
                    if field not in NOT_SHAPING
                }
                for name, terms in self.decisions.own_terms.items()
            },
            **{
                f"time group of {name}": terms.time_group
                for name, terms in self.decisions.on_cut_off.items()
            },
            **{
                f"time group {group.name}": _definition(group)
                for group in self.decisions.time_groups.values()
            },
            **({} if self.options is None else self.options.settings),
            **self.batch_filter.settings,
        }


def _definition(group: TimeGroup) -> dict[str, Any]:
    """Return a time group as JSON.

    The last days define custom periods, because there is no gap between them.
    """
    periods = [str(each.last_day) for each in group.periods]
    anchor = str(group.anchor) if group.anchor else ""
    return {
        "cycle": group.cycle,
        "ends_on": group.ends_on,
        "anchor": anchor,
        "from": str(group.periods[0].first_day) if periods else "",
        "periods": periods,
    }


async def build(
    connection: AsyncConnection,
    billing_company: str,
    cut_off: date | None,
    request: BatchRequest = DEFAULT_REQUEST,
    *,
    with_digests: bool = False,
) -> BatchPlan:
    """Plan a batch of the open lines of a company.

    `with_digests`: with what the seal of a closed document needs.
    """
    company = await company_of(connection, billing_company)
    today = today_of(company.time_zone)
    up_to = cut_off or today
    rates = await companies.tax_rates_for(connection, billing_company)
    located = await selection.locate_lines(connection, billing_company)
    in_force = await _options(connection, billing_company, request, today)
    decisions = await decide(
        connection, company, located.account_names, request, today=today, cut_off=up_to
    )
    decisions = with_option_conflicts(decisions, in_force.conflicts if in_force else {})
    selected = await selection.select_lines(
        connection,
        company,
        decisions.debtors,
        tax_spans(rates),
        located.corrected_terms,
        today=today,
        cut_off=up_to,
        with_digests=with_digests,
        with_options=in_force is not None,
        chosen=request.batch_filter,
    )
    zero_document_debtors = frozenset(
        debtor.account_name for debtor in decisions.debtors if debtor.zero_documents
    )
    groups = await _with_allowances(connection, decisions, selected, zero_document_debtors)
    if in_force is not None:
        groups = await line_options.with_options(connection, groups or selected.groups())
    decisions, documents, zero, parked, double_days = await _without_unsafe_debtors(
        connection, company, decisions, selected, groups, zero_document_debtors
    )
    documents, zero_after_tax = recheck_totals(
        await with_document_tax(connection, documents, company), zero_document_debtors
    )
    zero += zero_after_tax
    zero_nos = [group.group_no for group in zero]
    await selection.exclude_groups(connection, zero_nos, reasons.ZERO_TOTAL)
    all_in = sum(document.group.line_count for document in documents) == selected.open_lines
    return BatchPlan(
        company=company,
        series=await numbers.series_for(connection, company),
        today=today,
        cut_off=up_to,
        rates=rates,
        decisions=decisions,
        batch_filter=request.batch_filter,
        documents=documents,
        zero=zero,
        left_out={} if all_in else await selection.left_out(connection),
        totals=document_totals(documents),
        parked=parked,
        double_days=double_days,
        without_lines=await selection.chosen_without_lines(
            connection, request.batch_filter.documents
        ),
        options=in_force,
    )


async def _options(
    connection: AsyncConnection, billing_company: str, request: BatchRequest, today: date
) -> OptionsInForce | None:
    """Find the invoice option of each open line; None if the company never had an option.

    Refused if the batch filter names an option that does not exist.
    """
    chosen, on = request.batch_filter.options, request.invoice_date or today
    if not await option_store.has_options(connection, billing_company):
        check_options(chosen, (), billing_company)
        return None
    conflicts = await line_options.resolve_options(connection, billing_company, on=on, today=today)
    options = await option_store.options_for(connection, billing_company, on)
    check_options(chosen, options, billing_company)
    grouping = await option_store.grouping_by_country(connection, billing_company)
    return OptionsInForce(options, grouping, conflicts)


async def _with_allowances(
    connection: AsyncConnection,
    decisions: DebtorDecisions,
    selected: SelectedGroups,
    zero_document_debtors: frozenset[str],
) -> list[Group] | None:
    """Compute the discounts and surcharges of the documents; None if there is none of both."""
    own_terms = decisions.own_terms
    terms = {
        name: own_terms[name].allowances
        for name in own_terms.keys() & set(selected.names.values())
        if own_terms[name].allowances
    }
    if not terms and not await allowances.credits_with_allowances(connection):
        return None
    groups = selected.groups()
    with_terms = [each for each in groups if each.account_name in terms]
    original_lines = await allowances.original_lines(
        connection, (each.group_no for each in with_terms)
    )
    await allowances.create_tables(connection)
    staying_open: set[int] = set()
    while True:
        taken = allowance_rules.allowances_of_groups(
            with_terms, terms, original_lines, staying_open
        )
        found = await allowances.take_allowances(connection, groups, taken)
        zero = allowance_rules.staying_open(found, taken, zero_document_debtors)
        if zero <= staying_open:
            return found
        staying_open |= zero


async def _without_unsafe_debtors(
    connection: AsyncConnection,
    company: BillingCompany,
    decisions: DebtorDecisions,
    selected: SelectedGroups,
    groups: list[Group] | None,
    zero_document_debtors: frozenset[str],
) -> tuple[DebtorDecisions, list[Document], list[Group], list[ParkedDebtor], CountedIds]:
    """Park the debtors whose lines break a safety rule.

    Return the decisions, the documents and zero groups of the other debtors, all parked debtors,
    and the worker-days to warn of. A thread builds the documents while the database searches.
    `groups`: those of the selection with their allowances, if there are any.
    """
    max_hours = company.max_day_hours
    safety, (documents, zero) = await run_in_thread(
        safety_store.find_unsafe_debtors(connection, company.billing_company, max_hours),
        lambda: build_documents(
            selected.groups() if groups is None else groups, zero_document_debtors
        ),
    )
    unsafe = {
        debtor.account_name: debtor
        for debtor in safety_checks.parked(safety.unsafe, selected.names, max_hours)
    }
    if unsafe:
        debtors = [
            each._replace(parked=unsafe[each.account_name].message)
            if each.account_name in unsafe
            else each
            for each in decisions.debtors
        ]
        decisions = replace(decisions, debtors=debtors)
        await selection.exclude_debtors(
            connection, [debtor.debtor_no for debtor in debtors if debtor.account_name in unsafe]
        )
        documents = [each for each in documents if each.group.account_name not in unsafe]
        zero = [group for group in zero if group.account_name not in unsafe]
    parked = [
        unsafe.get(each.account_name)
        or ParkedDebtor(each.account_name, decisions.parked_code(each), each.parked)
        for each in decisions.debtors
        if each.parked and not each.left_out
    ]
    return decisions, documents, zero, parked, safety.double_days


async def with_document_tax(
    connection: AsyncConnection, documents: list[Document], company: BillingCompany
) -> list[Document]:
    """Compute tax per document where the company is set to that."""
    group_nos = {each.group.group_no for each in taxed_per_document(documents, company.tax_basis)}
    if not group_nos:
        return documents
    with_allowances = any(each.group.allowances for each in documents)
    taxes = await selection.spread_tax(
        connection, sorted(group_nos), with_allowances=with_allowances
    )
    return [
        each._replace(group=each.group.taxed(taxes[each.group.group_no]), tax_basis="document")
        if each.group.group_no in group_nos
        else each
        for each in documents
    ]


async def buyers(connection: AsyncConnection, plan: BatchPlan) -> list[Buyer]:
    """Return the buyer of each document of a plan."""
    groups = [document.group for document in plan.documents]
    return await buyers_of(connection, groups, plan.decisions.own_terms)


async def buyers_of(
    connection: AsyncConnection, groups: Sequence[Group], own_terms: Mapping[str, DebtorTerms]
) -> list[Buyer]:
    """Return the buyer of each group that becomes a document.

    A document with a debit shows the debtor as it is now, with what its terms override. A document
    of credits only repeats the buyer of the newest document that it corrects.
    """
    current = await companies.buyers_for(connection, (group.account_name for group in groups))
    corrected = [
        group.newest_corrected if group.credit_count == group.line_count else None
        for group in groups
    ]
    as_corrected = await closing.corrected_buyers(
        connection, [invoice_id for invoice_id in corrected if invoice_id is not None]
    )
    found = []
    for group, invoice_id in zip(groups, corrected, strict=True):
        if invoice_id is not None:
            found.append(as_corrected[invoice_id])
            continue
        buyer = current.get(group.account_name, Buyer(group.account_name))
        own = own_terms.get(group.account_name)
        found.append(buyer.with_terms(own) if own else buyer)
    return found
