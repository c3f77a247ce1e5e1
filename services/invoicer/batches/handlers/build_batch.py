"""Builds a batch up to the point where preview, health check and explanation stop and generate goes on: select, decide, group, judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.decide_debtors import (
    DEFAULT_REQUEST,
    BatchRequest,
    DebtorDecisions,
    decide,
)
from services.invoicer.batches.rules import health, reasons
from services.invoicer.batches.rules import safety_checks as safety_checks
from services.invoicer.batches.rules.batch_filter import BatchFilter
from services.invoicer.batches.rules.grouping import Debtor
from services.invoicer.batches.rules.health_snapshot import NONE, CountedIds, HealthSnapshot
from services.invoicer.batches.rules.ledgers import LedgerConnection, unmapped
from services.invoicer.batches.rules.safety_checks import ParkedDebtor
from services.invoicer.batches.store import health as health_store
from services.invoicer.batches.store import ledgers as ledger_store
from services.invoicer.batches.store import safety_checks as safety_store
from services.invoicer.batches.store import selection
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
from shared.clock import today_of
from shared.database import run_in_thread
from shared.events.billing import Finding
from shared.money import plain


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """A batch that is selected and grouped, not numbered. The lines are in the store's temporary tables. `totals`: per currency."""

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

    @property
    def debtors(self) -> Sequence[Debtor]:
        """The debtors of open lines, and what was decided for each."""
        return self.decisions.debtors

    @property
    def own_terms(self) -> dict[str, DebtorTerms]:
        """What differs for a debtor on the date of the documents."""
        return self.decisions.own_terms

    @property
    def settings(self) -> dict[str, Any]:
        """Everything on file that shaped the batch, and what it was narrowed to, by name, so that a later batch can say what was changed."""
        found: dict[str, Any] = {
            f"billing company {name}": value for name, value in _fields(self.company).items()
        }
        found |= {
            f"tax {rate.tax_code} from {rate.from_date}": plain(rate.percent) for rate in self.rates
        }
        for name, terms in self.own_terms.items():
            found[f"terms of {name}"] = {
                field: value for field, value in terms.values.items() if field != "time_group"
            }
        found |= {
            f"time group of {name}": terms.time_group
            for name, terms in self.decisions.on_cut_off.items()
        }
        found |= {
            f"time group {group.name}": _definition(group)
            for group in self.decisions.time_groups.values()
        }
        return found | self.batch_filter.settings


def _definition(group: TimeGroup) -> dict[str, Any]:
    """A time group as JSON has it; of custom periods the last days tell all, because there is no gap."""
    periods = [str(each.last_day) for each in group.periods]
    anchor = str(group.anchor) if group.anchor else ""
    return {
        "cycle": group.cycle,
        "ends_on": group.ends_on,
        "anchor": anchor,
        "from": str(group.periods[0].first_day) if periods else "",
        "periods": periods,
    }


def _fields(value: Any) -> dict[str, Any]:
    return {
        name: getattr(value, name)
        for name in value.__slots__
        if name not in ("account_name", "billing_company")
    }


async def build(
    connection: AsyncConnection,
    billing_company: str,
    cut_off: date | None,
    request: BatchRequest = DEFAULT_REQUEST,
    *,
    with_digests: bool = False,
) -> BatchPlan:
    """Selects and groups the open lines of a company. `with_digests`: with what a closed document's seal needs."""
    company = await company_of(connection, billing_company)
    today = today_of(company.time_zone)
    up_to = cut_off or today
    series = await numbers.series_for(connection, company)
    rates = await companies.tax_rates_for(connection, billing_company)
    located = await selection.locate_lines(connection, billing_company)
    decisions = await decide(
        connection, company, located.account_names, request, today=today, cut_off=up_to
    )
    selected = await selection.select_lines(
        connection,
        company,
        decisions.debtors,
        tax_spans(rates),
        located.corrected_terms,
        today=today,
        cut_off=up_to,
        with_digests=with_digests,
    )
    zero_document_debtors = frozenset(
        debtor.account_name for debtor in decisions.debtors if debtor.zero_documents
    )
    decisions, closed, zero, parked, double_days = await _without_unsafe_debtors(
        connection, company, decisions, selected, zero_document_debtors
    )
    closed, left = recheck_totals(
        await _with_document_tax(connection, closed, company), zero_document_debtors
    )
    zero += left
    await selection.exclude_groups(
        connection, [group.group_no for group in zero], reasons.ZERO_TOTAL
    )
    all_in = sum(document.group.line_count for document in closed) == selected.open_lines
    left_out = {} if all_in else await selection.left_out(connection)
    return BatchPlan(
        company,
        series,
        today,
        up_to,
        rates,
        decisions,
        request.batch_filter,
        closed,
        zero,
        left_out,
        document_totals(closed),
        parked,
        double_days,
    )


async def _without_unsafe_debtors(
    connection: AsyncConnection,
    company: BillingCompany,
    decisions: DebtorDecisions,
    selected: SelectedGroups,
    zero_document_debtors: frozenset[str],
) -> tuple[DebtorDecisions, list[Document], list[Group], list[ParkedDebtor], CountedIds]:
    """Parks the debtors of lines that cannot be; the documents of the others, and their groups that come to zero; all that are parked,
    whatever for; and worker-days that somebody should look at. The documents are made while the database looks."""
    find_unsafe_debtors = safety_store.find_unsafe_debtors(
        connection, company.billing_company, company.max_day_hours
    )
    found, (closed, zero) = await run_in_thread(
        find_unsafe_debtors, lambda: build_documents(selected.groups(), zero_document_debtors)
    )
    names = {debtor.debtor_no: debtor.account_name for debtor in decisions.debtors}
    unsafe = {
        one.account_name: one
        for one in safety_checks.parked(found.unsafe, names, company.max_day_hours)
    }
    if unsafe:
        debtors = [
            each._replace(parked=unsafe[each.account_name].message)
            if each.account_name in unsafe
            else each
            for each in decisions.debtors
        ]
        decisions = replace(decisions, debtors=debtors)
        await safety_store.exclude_debtors(
            connection, [debtor.debtor_no for debtor in debtors if debtor.account_name in unsafe]
        )
        closed = [document for document in closed if document.group.account_name not in unsafe]
        zero = [group for group in zero if group.account_name not in unsafe]
    parked = [
        unsafe.get(each.account_name)
        or ParkedDebtor(each.account_name, safety_checks.TERMS, each.parked)
        for each in decisions.debtors
        if each.parked and not each.left_out
    ]
    return decisions, closed, zero, parked, found.double_days


async def _with_document_tax(
    connection: AsyncConnection, closed: list[Document], company: BillingCompany
) -> list[Document]:
    """Computes tax per document where the company does so."""
    full = {each.group.group_no for each in taxed_per_document(closed, company.tax_basis)}
    if not full:
        return closed
    taxes = await selection.spread_tax(connection, sorted(full))
    return [
        each._replace(group=each.group.taxed(taxes[each.group.group_no]), tax_basis="document")
        if each.group.group_no in full
        else each
        for each in closed
    ]


async def buyers(connection: AsyncConnection, plan: BatchPlan) -> list[Buyer]:
    """The buyer of each document. A document with a debit shows the debtor as it is now, with what its terms override; one with
    credits only repeats the newest document that it corrects."""
    now_known = await companies.buyers_for(
        connection, (each.group.account_name for each in plan.documents)
    )
    credits_only = [
        each.group.newest_corrected
        for each in plan.documents
        if each.group.credit_count == each.group.line_count
    ]
    then_known = await closing.corrected_buyers(
        connection, [an_id for an_id in credits_only if an_id is not None]
    )
    found = []
    for each in plan.documents:
        group = each.group
        if group.newest_corrected is not None and group.credit_count == group.line_count:
            found.append(then_known[group.newest_corrected])
            continue
        buyer = now_known.get(group.account_name, Buyer(group.account_name))
        own = plan.own_terms.get(group.account_name)
        found.append(
            Buyer(buyer.name, own.address or buyer.address, own.tax_id or buyer.tax_id)
            if own
            else buyer
        )
    return found


async def check_health(
    connection: AsyncConnection, plan: BatchPlan, *, full: bool
) -> list[Finding]:
    """What the health rules find in what was built. `full`: also in what is not in any batch yet."""
    currencies: dict[str, set[str]] = {}
    for each in plan.documents:
        currencies.setdefault(each.group.account_name, set()).add(each.group.currency)
    out = plan.left_out  # what is not among the reasons need not be looked for
    snapshot = HealthSnapshot(
        company=plan.company,
        today=plan.today,
        cut_off=plan.cut_off,
        series=plan.series,
        documents=len(plan.documents),
        zero_groups=tuple(sorted({group.account_name for group in plan.zero})),
        parked={
            debtor.account_name: debtor.parked
            for debtor in plan.debtors
            if debtor.parked and not debtor.left_out
        },
        waiting={debtor.account_name: debtor.waiting for debtor in plan.debtors if debtor.waiting},
        known_time_groups=plan.decisions.known_time_groups,
        double_days=plan.double_days,
        nodes_without_account=await health_store.nodes_out(connection, reasons.NO_ACCOUNT_NAME)
        if reasons.NO_ACCOUNT_NAME in out
        else {},
        unknown_nodes=await health_store.nodes_out(connection, reasons.UNKNOWN_NODE)
        if reasons.UNKNOWN_NODE in out
        else {},
        taxless=await health_store.tax_codes_out(connection) if reasons.NO_TAX_RATE in out else {},
        edit_meets_revision=await health_store.lines_out(connection, reasons.EDIT_MEETS_REVISION)
        if reasons.EDIT_MEETS_REVISION in out
        else NONE,
        snoozed=await health_store.lines_out(connection, reasons.SNOOZED)
        if reasons.SNOOZED in out
        else NONE,
        two_currencies=tuple(sorted(name for name, held in currencies.items() if len(held) > 1)),
        ledgers=await ledger_store.ledgers_of(connection, plan.company.billing_company),
    )
    if full:
        wrong, unknown, idle = await health_store.hierarchy(connection)
        snapshot = replace(
            snapshot,
            very_late=await health_store.very_late(connection, plan.cut_off),
            two_addresses=await health_store.one_name_two_addresses(connection),
            wrong_parents=wrong,
            unknown_parents=unknown,
            idle_nodes=idle,
            held=await health_store.held(connection, plan.company.billing_company),
            in_flight=await health_store.in_flight(connection, plan.company.billing_company),
            stale=await health_store.stale(connection),
            dead_letters=await health_store.dead_letters(connection),
            rate_impact=await health_store.rate_impact(connection, plan.company.billing_company),
            unmapped=await _unmapped(connection, snapshot.ledgers),
        )
    return health.findings(snapshot)


async def _unmapped(
    connection: AsyncConnection, known: Sequence[LedgerConnection]
) -> dict[str, list[str]]:
    """What the mapping of each connection lacks for the lines that are in; without a connection nothing is looked at."""
    alive = [each.ledger for each in known if each.state != "disconnected"]
    needed = await ledger_store.sold(connection) if alive else []
    return {
        ledger: unmapped(needed, await ledger_store.codes_of(connection, ledger))
        for ledger in alive
    }
