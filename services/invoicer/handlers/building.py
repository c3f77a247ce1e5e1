"""Builds a batch up to the point where preview, health check and explanation stop and generate goes on: select, decide, group, judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.handlers.deciding import PLAIN, Decided, Wish, decide
from services.invoicer.rules import bounds, health, reasons
from services.invoicer.rules.books import NONE, Named, UnitOfWork
from services.invoicer.rules.bounds import Parked
from services.invoicer.rules.companies import Buyer, Company, DebtorTerms, TaxRate
from services.invoicer.rules.cycles import TimeGroup
from services.invoicer.rules.grouping import (
    Debtor,
    Document,
    Group,
    documents,
    per_document,
    weighed_again,
)
from services.invoicer.rules.ledgers import Ledger, unmapped
from services.invoicer.rules.narrowing import Narrowing
from services.invoicer.rules.numbers import Series
from services.invoicer.rules.totals import tax_spans, totals
from services.invoicer.store import bounds as looked_for
from services.invoicer.store import companies, numbers, selection
from services.invoicer.store import health as looked_at
from services.invoicer.store import ledgers as delivery
from services.invoicer.store.selection import Heads
from shared.clock import today_of
from shared.database import run_in_thread
from shared.errors import Refused
from shared.events.billing import Finding
from shared.money import plain


@dataclass(frozen=True, slots=True)
class Built:
    """A batch that is selected and grouped, not numbered. The lines are in the store's temporary tables. `totals`: per currency."""

    company: Company
    series: Series
    today: date
    cut_off: date
    rates: Sequence[TaxRate]
    decided: Decided
    narrowing: Narrowing
    documents: Sequence[Document]
    zero: Sequence[Group]
    left_out: dict[str, int]
    totals: Sequence[dict[str, object]]
    parked: Sequence[Parked] = ()
    double_days: Named = NONE

    @property
    def debtors(self) -> Sequence[Debtor]:
        """The debtors of open lines, and what was decided for each."""
        return self.decided.debtors

    @property
    def own_terms(self) -> dict[str, DebtorTerms]:
        """What differs for a debtor on the date of the documents."""
        return self.decided.own_terms

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
            for name, terms in self.decided.on_cut_off.items()
        }
        found |= {
            f"time group {group.name}": _definition(group)
            for group in self.decided.time_groups.values()
        }
        return found | self.narrowing.settings


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


async def company_of(connection: AsyncConnection, billing_company: str) -> Company:
    """The billing company, or a refusal that says how to set it up."""
    company = await companies.company_for(connection, billing_company)
    if company is None:
        raise Refused(
            "unknown_billing_company",
            f"there is no billing company {billing_company}",
            f"set it up: `backoffice billing-company set {billing_company}`, or look for a misspelling",
        )
    return company


async def build(
    connection: AsyncConnection,
    billing_company: str,
    cut_off: date | None,
    wish: Wish = PLAIN,
    *,
    sealed: bool = False,
) -> Built:
    """Selects and groups the open lines of a company. `sealed`: with what a closed document's seal needs."""
    company = await company_of(connection, billing_company)
    today = today_of(company.time_zone)
    up_to = cut_off or today
    series = await numbers.series_for(connection, company)
    rates = await companies.tax_rates_for(connection, billing_company)
    sited = await selection.locate(connection, billing_company)
    decided = await decide(
        connection, company, sited.account_names, wish, today=today, cut_off=up_to
    )
    heads = await selection.pick(
        connection,
        company,
        decided.debtors,
        tax_spans(rates),
        sited.corrected_terms,
        today=today,
        cut_off=up_to,
        sealed=sealed,
    )
    zero_wanted = frozenset(
        debtor.account_name for debtor in decided.debtors if debtor.zero_documents
    )
    decided, closed, zero, parked, double_days = await _bounded(
        connection, company, decided, heads, zero_wanted
    )
    closed, left = weighed_again(await _taxed(connection, closed, company), zero_wanted)
    zero += left
    await selection.set_aside(connection, [group.group_no for group in zero], reasons.ZERO_TOTAL)
    all_in = sum(document.group.line_count for document in closed) == heads.open_lines
    left_out = {} if all_in else await selection.left_out(connection)
    sums = [
        each.row
        for each in totals(
            (d.group.currency, d.group.line_count, d.group.net, d.group.tax) for d in closed
        )
    ]
    return Built(
        company,
        series,
        today,
        up_to,
        rates,
        decided,
        wish.narrowing,
        closed,
        zero,
        left_out,
        sums,
        parked,
        double_days,
    )


async def _bounded(
    connection: AsyncConnection,
    company: Company,
    decided: Decided,
    heads: Heads,
    zero_wanted: frozenset[str],
) -> tuple[Decided, list[Document], list[Group], list[Parked], Named]:
    """Parks the debtors of lines that cannot be; the documents of the others, and their groups that come to zero; all that are parked,
    whatever for; and worker-days that somebody should look at. The documents are made while the database looks."""
    look = looked_for.look(connection, company.billing_company, company.max_day_hours)
    found, (closed, zero) = await run_in_thread(
        look, lambda: documents(heads.groups(), zero_wanted)
    )
    names = {debtor.debtor_no: debtor.account_name for debtor in decided.debtors}
    unsafe = {
        one.account_name: one for one in bounds.parked(found.unsafe, names, company.max_day_hours)
    }
    if unsafe:
        debtors = [
            each._replace(parked=unsafe[each.account_name].message)
            if each.account_name in unsafe
            else each
            for each in decided.debtors
        ]
        decided = replace(decided, debtors=debtors)
        await looked_for.park(
            connection, [debtor.debtor_no for debtor in debtors if debtor.account_name in unsafe]
        )
        closed = [document for document in closed if document.group.account_name not in unsafe]
        zero = [group for group in zero if group.account_name not in unsafe]
    parked = [
        unsafe.get(each.account_name) or Parked(each.account_name, bounds.TERMS, each.parked)
        for each in decided.debtors
        if each.parked and not each.left_out
    ]
    return decided, closed, zero, parked, found.double_days


async def _taxed(
    connection: AsyncConnection, closed: list[Document], company: Company
) -> list[Document]:
    """Computes tax per document where the company does so."""
    whole = {each.group.group_no for each in per_document(closed, company.tax_basis)}
    if not whole:
        return closed
    taxes = await selection.spread_tax(connection, sorted(whole))
    return [
        each._replace(group=each.group.taxed(taxes[each.group.group_no]), tax_basis="document")
        if each.group.group_no in whole
        else each
        for each in closed
    ]


async def buyers(connection: AsyncConnection, built: Built) -> list[Buyer]:
    """The buyer of each document. A document with a debit shows the debtor as it is now, with what its terms override; one with
    credits only repeats the newest document that it corrects."""
    now_known = await companies.buyers_for(
        connection, (each.group.account_name for each in built.documents)
    )
    credits_only = [
        each.group.newest_corrected
        for each in built.documents
        if each.group.credit_count == each.group.line_count
    ]
    then_known = await companies.corrected_buyers(
        connection, [an_id for an_id in credits_only if an_id is not None]
    )
    found = []
    for each in built.documents:
        group = each.group
        if group.newest_corrected is not None and group.credit_count == group.line_count:
            found.append(then_known[group.newest_corrected])
            continue
        buyer = now_known.get(group.account_name, Buyer(group.account_name))
        own = built.own_terms.get(group.account_name)
        found.append(
            Buyer(buyer.name, own.address or buyer.address, own.tax_id or buyer.tax_id)
            if own
            else buyer
        )
    return found


async def judge(connection: AsyncConnection, built: Built, *, whole: bool) -> list[Finding]:
    """What the health rules find in what was built. `whole`: also in what is not in any batch yet."""
    currencies: dict[str, set[str]] = {}
    for each in built.documents:
        currencies.setdefault(each.group.account_name, set()).add(each.group.currency)
    out = built.left_out  # what is not among the reasons need not be looked for
    books = UnitOfWork(
        company=built.company,
        today=built.today,
        cut_off=built.cut_off,
        series=built.series,
        documents=len(built.documents),
        zero_groups=tuple(sorted({group.account_name for group in built.zero})),
        parked={
            debtor.account_name: debtor.parked
            for debtor in built.debtors
            if debtor.parked and not debtor.left_out
        },
        waiting={debtor.account_name: debtor.waiting for debtor in built.debtors if debtor.waiting},
        known_time_groups=built.decided.known_time_groups,
        double_days=built.double_days,
        nodes_without_account=await looked_at.nodes_out(connection, reasons.NO_ACCOUNT_NAME)
        if reasons.NO_ACCOUNT_NAME in out
        else {},
        unknown_nodes=await looked_at.nodes_out(connection, reasons.UNKNOWN_NODE)
        if reasons.UNKNOWN_NODE in out
        else {},
        taxless=await looked_at.tax_codes_out(connection) if reasons.NO_TAX_RATE in out else {},
        edit_meets_revision=await looked_at.lines_out(connection, reasons.EDIT_MEETS_REVISION)
        if reasons.EDIT_MEETS_REVISION in out
        else NONE,
        snoozed=await looked_at.lines_out(connection, reasons.SNOOZED)
        if reasons.SNOOZED in out
        else NONE,
        two_currencies=tuple(sorted(name for name, held in currencies.items() if len(held) > 1)),
        ledgers=await delivery.ledgers_of(connection, built.company.billing_company),
    )
    if whole:
        wrong, unknown, idle = await looked_at.hierarchy(connection)
        books = replace(
            books,
            very_late=await looked_at.very_late(connection, built.cut_off),
            two_addresses=await looked_at.one_name_two_addresses(connection),
            wrong_parents=wrong,
            unknown_parents=unknown,
            idle_nodes=idle,
            held=await looked_at.held(connection, built.company.billing_company),
            in_flight=await looked_at.in_flight(connection, built.company.billing_company),
            stale=await looked_at.stale(connection),
            dead_letters=await looked_at.dead_letters(connection),
            rate_impact=await looked_at.rate_impact(connection, built.company.billing_company),
            unmapped=await _unmapped(connection, books.ledgers),
        )
    return health.findings(books)


async def _unmapped(connection: AsyncConnection, known: Sequence[Ledger]) -> dict[str, list[str]]:
    """What the mapping of each connection lacks for the lines that are in; without a connection nothing is looked at."""
    alive = [each.ledger for each in known if each.state != "disconnected"]
    needed = await delivery.sold(connection) if alive else []
    return {
        ledger: unmapped(needed, await delivery.codes_of(connection, ledger)) for ledger in alive
    }
