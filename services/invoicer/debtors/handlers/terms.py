"""Commands that set up debtors: time groups, and terms that differ from the company's defaults."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.debtors.rules.allowances import AllowanceTerm
from services.invoicer.debtors.rules.companies import (
    EARLIEST_DATE,
    TermsChange,
    TermsVersion,
    change_terms,
)
from services.invoicer.debtors.rules.cycles import Span, TimeGroup, faulty_periods
from services.invoicer.debtors.store import companies, time_groups
from shared.clock import today_of
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_billto, lock_companies
from shared.errors import Refused
from shared.events.commands import SetDebtorTerms, SetTimeGroup
from shared.terms import similar_names

TERMS = (
    "time_group",
    "payment_terms",
    "missing_timesheets",
    "credits",
    "zero_documents",
    "tax_regime",
    "tax_wording",
    "tax_id",
    "address",
    "emails",
    "attach",
    "mail_subject",
    "mail_text",
    "contact",
    "reference",
    "timesheet_detail",
)
MOST_NAMED = 20


async def on_set_time_group(connection: AsyncConnection, command: SetTimeGroup) -> Answer:
    """Save a billing cycle; no batch runs meanwhile, because it may change every company's."""
    periods = tuple(sorted(Span(each.first_day, each.last_day) for each in command.periods))
    faulty = faulty_periods(periods)
    if faulty is not None:
        kind, first, second = faulty
        words = "share days" if kind == "overlap" else "leave days between them"
        raise Refused(
            f"periods_{kind}",
            f"the periods {first} and {second} {words}",
            "every day from the first to the last belongs to one period",
        )
    group = TimeGroup(command.time_group, command.cycle, command.ends_on, command.anchor, periods)
    await lock_billto(connection, exclusive=True)
    before = (await time_groups.time_groups_for(connection, [group.name])).get(group.name)
    await time_groups.save_time_group(connection, group)
    change = " as it was" if before == group else f", {before.words} until now" if before else ""
    return Answer(
        f"time group {group.name} is {group.words}{change}",
        details={"time_group": group.name} | _definition(group),
        before=_definition(before) if before else None,
        after=_definition(group),
        subjects=[group.name, f"time-group {group.name}"],
    )


def _definition(group: TimeGroup) -> dict[str, Any]:
    periods = (
        {
            "periods": len(group.periods),
            "first_day": str(group.periods[0].first_day),
            "last_day": str(group.periods[-1].last_day),
        }
        if group.periods
        else {}
    )
    return {
        "cycle": group.cycle,
        "ends_on": group.ends_on,
        "anchor": str(group.anchor) if group.anchor else None,
    } | periods


async def on_set_debtor_terms(connection: AsyncConnection, command: SetDebtorTerms) -> Answer:
    """Save a version of a debtor's terms: the one before it, with the given values changed."""
    given = {name: value for name in TERMS if (value := getattr(command, name)) is not None}
    if not command.account_name:
        raise Refused(
            "no_account_name",
            "the command names no debtor",
            "give the debtor's Account Name",
        )
    allowances = [
        AllowanceTerm(
            each.kind,
            each.name,
            each.percent,
            each.amount,
            each.currency or "",
            each.applies_to,
        )
        for each in command.allowances
    ]
    if not (given or allowances or command.remove_allowances):
        raise Refused(
            "nothing_given",
            f"nothing was given to change for {command.account_name}",
            f"give one of {', '.join(TERMS)}, allowances",
        )
    await lock_companies(connection, [command.billing_company], exclusive=True)
    company = await company_of(connection, command.billing_company)
    await _check_group(connection, given.get("time_group", ""))
    versions = await companies.terms_versions(
        connection, command.billing_company, command.account_name
    )
    change = change_terms(
        command.account_name,
        versions,
        given,
        command.from_date,
        today_of(company.time_zone),
        allowances,
        command.remove_allowances,
    )
    await companies.save_terms(connection, command.billing_company, change.after)
    until = None if change.until is None else str(change.until)
    return Answer(
        await _message(connection, command, change),
        details={"account_name": command.account_name, "until": until} | _version(change.after),
        before=_version(change.before) if change.before else None,
        after=_version(change.after),
        subjects=[command.account_name],
    )


async def _check_group(connection: AsyncConnection, name: str) -> None:
    """Refuse a time group that does not exist: it would park the debtor."""
    known = await time_groups.time_group_names(connection) if name else frozenset()
    if name and name not in known:
        existing = ", ".join(sorted(known)[:MOST_NAMED])
        raise Refused(
            "unknown_time_group",
            f"there is no time group {name!r}" + (f"; there are {existing}" if existing else ""),
            f"make it first: `backoffice time-groups set {name} --cycle ...`",
        )


async def _message(
    connection: AsyncConnection, command: SetDebtorTerms, change: TermsChange
) -> str:
    until = f" until the day before {change.until}, when later terms begin" if change.until else ""
    known = await companies.account_names(connection, command.billing_company)
    note = ""
    if not await companies.buyers_for(connection, [command.account_name]):
        similar = similar_names(command.account_name, known - {command.account_name})
        hint = f" (there is {similar[0]!r})" if similar else ""
        note = f"; no billto node has this Account Name yet{hint}"
    first_day = change.after.from_date
    since = "at all times" if first_day == EARLIEST_DATE else f"from {first_day} on"
    return f"terms of {command.account_name} apply {since}{until}{note}"


def _version(version: TermsVersion) -> dict[str, Any]:
    return {"from_date": str(version.from_date)} | version.terms.values


HANDLERS: Mapping[type[Any], CommandHandler] = {
    SetTimeGroup: on_set_time_group,
    SetDebtorTerms: on_set_debtor_terms,
}
