"""The commands set-bill-rate, rates-impact and confirm-rates.

Setting a rate queues every document that names the requirement, so open lines are repriced at once.
Invoiced lines keep their price until the change is confirmed. Pricing stores the impact of changes;
documents still in the queue are priced here, for the answer only.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.facts.store import queue_dependents
from services.fee_realizer.rates import store
from services.fee_realizer.rates.rules import ImpactRow, sum_impact
from services.fee_realizer.rates.store import DocumentRepricing
from services.fee_realizer.requirements import store as requirements
from services.fee_realizer.requirements.rules import (
    RateBookChange,
    RateTable,
    RateVersion,
    set_operator_rate,
)
from services.fee_realizer.requirements.store import (
    RequirementUpdate,
    lock_requirements,
    rate_versions,
)
from services.fee_realizer.sources.handlers.pricing import (
    PricingJob,
    PriorState,
    named_facts,
    prior_state,
    rate_impact,
    realize,
)
from services.fee_realizer.sources.rules.facts import Facts, Realized, format_price
from services.fee_realizer.sources.rules.repricing import RateChange, repricings
from services.fee_realizer.sources.store.documents import STUB_REVISION, heads_for
from services.fee_realizer.sources.store.facts import lock_facts
from services.fee_realizer.sources.store.realizations import cited_prices
from shared import faults
from shared.consumer.commands import Answer
from shared.errors import Refused
from shared.events.commands import ConfirmRates, RatesImpact, SetBillRate
from shared.money import plain
from shared.terms import counted

DOCUMENTS_AT_ONCE = 500
# Queued documents that are priced for one answer.
PRICING_LIMIT = 5_000
# Lines up to which an answer lists debtors and invoices; above it has sums only.
LINE_LIMIT = 50_000
ROW_LIMIT = 200
SUBJECT_LIMIT = 500


async def on_set_bill_rate(connection: AsyncConnection, command: SetBillRate) -> Answer:
    """Change the rate book under the requirement's lock and queue its documents."""
    update, versions = await _lock(connection, command)
    change = set_operator_rate(
        versions, command.time_type, command.effective_from, command.bill_rate, update.rate_book
    )
    before = _rate_in_force(versions, command, update.rate_book)
    after = _rate_in_force(change.apply(versions), command, change.book)
    details = _named(command) | {"before": before, "after": after, "rate_book": change.book}
    subjects = [command.requirement_id]
    if command.preview:
        return await _preview(connection, command, change, details)
    if change.book == update.rate_book:
        message = f"the bill rate of {_name(command)} is unchanged"
        return Answer(message, details, subjects=subjects)
    await store.save_rate_book(connection, update, change, command.actor)
    queued = await queue_dependents(connection, "requirement", subjects, command.command)
    table = RateTable.of(change.apply(versions), command.time_type, change.book)
    until = next((day for day in table.days if day > command.effective_from), None)
    changed, currency = await store.changed_documents(
        connection,
        RateChange(command.requirement_id, command.time_type, command.effective_from),
        until,
    )
    effect = (
        f"{changed:,} of {counted(queued, 'document')} priced anew"
        if changed
        else "no open line changes"
    )
    return Answer(
        f"the bill rate of {_name(command)} is"
        f" {_figure(format_price(command.bill_rate, currency))}; {effect}",
        details | {"documents_to_price": queued, "documents_changed": changed},
        before=before,
        after=after,
        subjects=subjects,
        jobs_due=queued > 0,
    )


async def _preview(
    connection: AsyncConnection,
    command: SetBillRate,
    change: RateBookChange,
    details: dict[str, Any],
) -> Answer:
    """Answer what setting the rate would do to open and to invoiced lines. Nothing is written."""
    open_rows: list[ImpactRow] = []
    invoiced: list[DocumentRepricing] = []
    released = 0
    key = (command.requirement_id, command.time_type)
    named = RateChange(*key, command.effective_from)
    async for jobs, facts, prior in _documents(connection, command.requirement_id, queued=False):
        requirement = facts.requirement(command.requirement_id)
        then = facts.with_requirement(
            replace(requirement, rates=change.apply(requirement.rates), rate_book=change.book)
        )
        for job in jobs:
            before, after = realize(job, facts, prior), realize(job, then, prior)
            if not isinstance(after, Realized):
                continue
            if not isinstance(before, Realized):
                released += 1
                continue
            open_rows += [
                ImpactRow(job.head.document_id, named, one)
                for one in repricings(before.lines, after.lines)
            ]
            invoiced += [
                one
                for one in _impact_of(job, then, prior, after)
                if (one[1].requirement_id, one[1].time_type) == key
            ]
    invoiced_rows = await store.with_invoices(connection, invoiced)
    preview = {"preview": True, "open": sum_impact(open_rows), "held_released": released}
    return Answer(
        f"open lines: {_summary(open_rows)}, repriced at once;"
        f" invoiced lines: {_summary(invoiced_rows)}, when it is confirmed; nothing was written",
        details | preview | _details(invoiced_rows),
        subjects=[command.requirement_id],
    )


async def companies_of(
    connection: AsyncConnection, command: SetBillRate | ConfirmRates | RatesImpact
) -> set[str]:
    """Return the billing company of the requirement that a command names; none if unknown."""
    return await requirements.companies_of(connection, filter(None, [command.requirement_id]))


async def on_rates_impact(connection: AsyncConnection, command: RatesImpact) -> Answer:
    """Answer which invoiced lines have another price than the one in force now."""
    requirement_id = command.requirement_id
    count = await store.impact_count(connection, requirement_id)
    if count > LINE_LIMIT:
        changes = await store.summed_impact(connection, requirement_id, ROW_LIMIT)
        message = (
            f"{counted(count, 'line')} on documents have another price, too many to list:"
            " ask for one requirement to see debtors and invoices"
        )
        return Answer(message, {"lines": count, "changes": changes})
    impact, waiting = await _impact(connection, requirement_id)
    of_requirement = f" of {requirement_id}" if requirement_id else ""
    message = f"invoiced lines{of_requirement} with another price: {_summary(impact)}"
    if waiting:
        message += f"; {counted(waiting, 'document')} still being priced again"
    return Answer(
        message,
        _details(impact) | {"being_priced": waiting},
        subjects=[requirement_id] if requirement_id else [],
    )


async def on_confirm_rates(connection: AsyncConnection, command: ConfirmRates) -> Answer:
    """Confirm the version in force for invoiced lines.

    Each line is credited at its old price and debited at the new one.
    """
    update, versions = await _lock(connection, command)
    change = RateChange(command.requirement_id, command.time_type, command.effective_from)
    name = _name(command)
    days = RateTable.of(versions, command.time_type, update.rate_book).days
    if command.effective_from not in days:
        raise Refused(
            "no_such_rate",
            f"there is no bill rate of {name};"
            f" its from-dates are: {', '.join(map(str, days)) or 'none'}",
            "see `backoffice rates impact`",
        )
    impact, _ = await _impact(connection, command.requirement_id)
    impact = [row for row in impact if row.change == change]
    if not impact:
        raise Refused(
            "nothing_to_confirm",
            f"no invoiced line has another price than that of {name}",
            "see `backoffice rates impact`",
        )
    details = _named(command) | _details(impact)
    subjects = [command.requirement_id]
    if command.preview:
        message = f"confirming {name} would change {_summary(impact)}; nothing was written"
        return Answer(message, details | {"preview": True}, subjects=subjects)
    await store.add_confirmation(
        connection,
        change,
        update.rate_book,
        actor=command.actor,
        reason=command.reason,
        command_id=command.command_id,
    )
    queued = await queue_dependents(connection, "requirement", subjects, command.command)
    documents = sorted({row.document_id for row in impact})
    invoices = sorted({row.invoice_number for row in impact} - {""})
    return Answer(
        f"the bill rate of {name} is confirmed for invoiced lines: {_summary(impact)};"
        " the credits and debits are open lines in a few seconds",
        details | {"documents_to_price": queued},
        after={"confirmed": name, "rate_book": update.rate_book},
        subjects=[*subjects, *documents[:SUBJECT_LIMIT], *invoices[:SUBJECT_LIMIT]],
        jobs_due=queued > 0,
    )


def _named(command: SetBillRate | ConfirmRates) -> dict[str, Any]:
    return {
        "requirement_id": command.requirement_id,
        "time_type": command.time_type,
        "effective_from": str(command.effective_from),
    }


def _name(command: SetBillRate | ConfirmRates) -> str:
    return f"{command.requirement_id} {command.time_type} from {command.effective_from}"


async def _lock(
    connection: AsyncConnection, command: SetBillRate | ConfirmRates
) -> tuple[RequirementUpdate, list[RateVersion]]:
    """Lock a known requirement for change; return it with the versions of its newest rate book."""
    requirement_id = command.requirement_id
    update = (await lock_requirements(connection, [requirement_id]))[requirement_id]
    await faults.point("after_locks")
    if not update.known:
        raise Refused(
            "unknown_requirement",
            f"there is no requirement {requirement_id}",
            "check its spelling, or send it on requirement-changed first",
        )
    versions = await rate_versions(connection, [requirement_id])
    return update, versions.get(requirement_id, [])


def _rate_in_force(
    versions: Sequence[RateVersion], command: SetBillRate, book: int
) -> dict[str, Any] | None:
    """Return the version in force on the command's from-date, for the answer."""
    found = RateTable.of(versions, command.time_type, book).on(command.effective_from)
    if found is None:
        return None
    version = found[0]
    return {
        "effective_from": str(version.effective_from),
        "bill_rate": plain(version.unit_price),
        "unit": version.unit,
        "source": version.source,
    }


async def _impact(
    connection: AsyncConnection, requirement_id: str | None
) -> tuple[list[ImpactRow], int]:
    """Return the impact that pricing stored, and how many documents are queued but not priced.

    Queued documents of one requirement are priced here, up to a limit.
    """
    waiting = await store.queued_count(connection, requirement_id)
    found = await store.stored_impact(connection, requirement_id)
    if requirement_id is not None and 0 < waiting <= PRICING_LIMIT:
        priced: set[str] = set()
        fresh: list[DocumentRepricing] = []
        async for jobs, facts, prior in _documents(connection, requirement_id, queued=True):
            for job in jobs:
                priced.add(job.head.document_id)
                result = realize(job, facts, prior)
                if isinstance(result, Realized):
                    fresh += [
                        one
                        for one in _impact_of(job, facts, prior, result)
                        if one[1].requirement_id == requirement_id
                    ]
        found = [one for one in found if one[0] not in priced] + fresh
        waiting = 0
    documents = sorted({document_id for document_id, _, _ in found})
    cited = await cited_prices(connection, "timesheet", documents)
    # Lines that were credited by hand since cite no rate book any more.
    found = [
        one for one in found if (one[1].requirement_id, one[1].time_type) in cited.get(one[0], ())
    ]
    return await store.with_invoices(connection, found), waiting


async def _documents(
    connection: AsyncConnection, requirement_id: str, *, queued: bool
) -> AsyncIterator[tuple[list[PricingJob], Facts, PriorState]]:
    """Yield the timesheets that name a requirement, in chunks, as pricing reads them, unlocked."""
    after = ""
    while ids := await store.documents_of(
        connection, requirement_id, after, DOCUMENTS_AT_ONCE, queued=queued
    ):
        after = ids[-1]
        heads = await heads_for(connection, "timesheet", ids, lock=False)
        known = [head for head in heads.values() if head.revision > STUB_REVISION]
        facts = await lock_facts(connection, named_facts(head.facts for head in known), lock=False)
        jobs = [PricingJob(head, "preview") for head in known]
        yield jobs, facts, await prior_state(connection, "timesheet", facts, jobs)


def _impact_of(
    job: PricingJob, facts: Facts, prior: PriorState, result: Realized
) -> list[DocumentRepricing]:
    return [
        (job.head.document_id, change, one)
        for change, found in rate_impact(job, facts, prior, result).items()
        for one in found
    ]


def _details(impact: Sequence[ImpactRow]) -> dict[str, Any]:
    """Return the sums of an impact: total, by change, by debtor and by invoice."""
    change = ("requirement_id", "time_type", "effective_from", "unit", "old_price", "new_price")
    debtor = ("billing_company", "account_name")
    tables = {
        "totals": sum_impact(impact),
        "changes": sum_impact(impact, *change),
        "debtors": sum_impact(impact, *debtor),
        "invoices": sum_impact(impact, *debtor, "invoice_number"),
    }
    details: dict[str, Any] = {
        "documents": len({row.document_id for row in impact}),
        "lines": len(impact),
    }
    for name, table in tables.items():
        details[name] = table[:ROW_LIMIT]
        if len(table) > ROW_LIMIT:
            details[f"more_{name}"] = len(table) - ROW_LIMIT
    return details


def _figure(number: object) -> str:
    """Write a number for people, with thousands separators."""
    return f"{Decimal(str(number)):,f}"


def _summary(impact: Iterable[ImpactRow]) -> str:
    found = list(impact)
    if not found:
        return "none"
    sums = ", ".join(
        f"{_figure(total['hours'])} h, {_figure(total['old'])} → {_figure(total['new'])}"
        f" {total['currency']}, net {_figure(total['net'])}"
        for total in sum_impact(found)
    )
    documents = counted(len({row.document_id for row in found}), "document")
    return f"{documents}, {counted(len(found), 'line')}, {sums}"
