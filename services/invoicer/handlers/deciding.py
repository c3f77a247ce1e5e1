"""What is decided for each debtor before lines are picked: terms, time group and window, whether asked for, parked or waiting."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.rules.companies import Company, DebtorTerms
from services.invoicer.rules.cycles import Span, TimeGroup
from services.invoicer.rules.expected import Arrived, arrivals
from services.invoicer.rules.grouping import Debtor, debtors, may_be_waiting, with_waiting
from services.invoicer.rules.narrowing import WHOLE, Narrowing, check_excluded, check_groups
from services.invoicer.store import companies, time_groups
from services.invoicer.store.expected import placed_for, sheets_for


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a batch besides its company and cut-off. `on`: the date of the documents, by which the debtors' terms are found.
    `also`: debtors without open lines who are to be decided, too. `everybody`: count the expected timesheets of those who do not wait as well."""

    narrowing: Narrowing = WHOLE
    on: date | None = None
    also: Collection[str] = ()
    everybody: bool = False


PLAIN = Wish()


@dataclass(frozen=True, slots=True)
class Decided:
    """The debtors, and what is on file that shaped the decisions."""

    debtors: Sequence[Debtor]
    own_terms: dict[str, DebtorTerms]
    on_cut_off: dict[str, DebtorTerms]
    time_groups: dict[str, TimeGroup]
    known_time_groups: frozenset[str]
    arrived: Mapping[str, Arrived]


async def decide(
    connection: AsyncConnection,
    company: Company,
    names: Collection[str],
    wish: Wish,
    *,
    today: date,
    cut_off: date,
) -> Decided:
    """Decides the debtors of a batch. Refused if the narrowing names groups or debtors that do not exist."""
    on = wish.on or today
    own_terms = await companies.debtor_terms_for(connection, company.billing_company, on)
    on_cut_off = (
        own_terms
        if on == cut_off
        else await companies.debtor_terms_for(connection, company.billing_company, cut_off)
    )
    known = await time_groups.time_group_names(connection)
    used = (
        {terms.time_group for terms in on_cut_off.values()}
        | {company.default_time_group}
        | wish.narrowing.groups
    )
    groups = await time_groups.time_groups_for(connection, used)
    check_groups(wish.narrowing, known, groups, cut_off)
    await _check_debtors(connection, company, wish.narrowing, names)
    decided = debtors(
        {*names, *wish.also},
        company,
        own_terms,
        cut_off,
        on_cut_off=on_cut_off,
        time_groups=groups,
        narrowing=wish.narrowing,
        today=today,
    )
    asked_of = decided if wish.everybody else may_be_waiting(decided, today)
    arrived = await arrived_for(
        connection,
        company.billing_company,
        {each.account_name: each.asked for each in asked_of if each.asked},
    )
    return Decided(
        with_waiting(decided, arrived, today), own_terms, on_cut_off, groups, known, arrived
    )


async def arrived_for(
    connection: AsyncConnection, billing_company: str, asked: Mapping[str, Span]
) -> dict[str, Arrived]:
    """By Account Name, how many timesheets are expected for the weeks that end in these days, and how many are in."""
    if not asked:
        return {}
    placed = await placed_for(connection, billing_company, asked)
    days = Span(
        min(each.first_day for each in asked.values()),
        max(each.last_day for each in asked.values()),
    )
    sheets, week_ends = await sheets_for(connection, {each.requirement_id for each in placed}, days)
    return arrivals(placed, sheets, asked, week_ends)


async def _check_debtors(
    connection: AsyncConnection, company: Company, narrowing: Narrowing, names: Collection[str]
) -> None:
    missing = narrowing.excluded.difference(names)
    if missing:
        known = await companies.account_names(connection, company.billing_company)
        check_excluded(missing - known, known | set(names))
