"""The batch groups of a cut-off: billing company × cycle, with the debtors of each and what is in, late, held and expected (domain rules 4)."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.build_batch import BatchPlan, build, check_health
from services.invoicer.batches.handlers.decide_debtors import BatchRequest
from services.invoicer.batches.rules.expected import NONE_EXPECTED, TimesheetCount
from services.invoicer.batches.rules.grouping import Debtor
from services.invoicer.batches.store import expected
from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.debtors.rules.cycles import NO_GROUP
from services.invoicer.questions.store import groups
from services.invoicer.questions.store.groups import DebtorAmount, DebtorCounts
from shared.consumer.commands import Answer, CommandHandler
from shared.events.commands import ListBatchGroups
from shared.events.field_types import MESSAGE_BYTES
from shared.money import rounded
from shared.terms import counted

MOST_DEBTORS = 1_000
MOST_BYTES = MESSAGE_BYTES * 2 // 3
"""Of debtors that are listed; what is left of a message is enough for some hundreds of groups."""
MOST_MISSING = 5


@dataclass(slots=True)
class GroupDebtor:
    """A debtor in a batch group."""

    debtor: Debtor
    counts: DebtorCounts
    amounts: Sequence[DebtorAmount]
    timesheet_counts: TimesheetCount
    held: Counter[str] = field(default_factory=Counter)

    @property
    def is_of_interest(self) -> bool:
        """Whether there is anything to say of the debtor."""
        return bool(self.amounts or self.held or self.timesheet_counts.expected)

    @property
    def state(self) -> str:
        """What a batch would do with the debtor now."""
        return (
            "parked"
            if self.debtor.parked
            else "waits"
            if self.debtor.waiting
            else "in"
            if any(each.lines for each in self.amounts)
            else "nothing"
        )


async def on_list_batch_groups(connection: AsyncConnection, command: ListBatchGroups) -> Answer:
    """Says what each batch group holds for a cut-off; nothing is written."""
    company = await company_of(connection, command.billing_company)
    placements = await expected.placements_for(connection, company.billing_company)
    held = await expected.held_for(connection, company.billing_company)
    also = {each.account_name for each in placements} | {each.account_name for each in held}
    plan = await build(
        connection,
        company.billing_company,
        command.cut_off_date,
        BatchRequest(also=also, everybody=True),
    )
    entries = await _entries(connection, plan, held)
    listed, left = _document_row(plan, entries)
    findings = await check_health(connection, plan, full=False)
    waiting = sum(1 for each in entries if each.state in ("waits", "parked"))
    return Answer(
        f"{counted(len(listed), 'batch group')} of {company.billing_company} up to {plan.cut_off}: {counted(len(entries), 'debtor')},"
        f" {waiting} waiting or parked",
        details={
            "billing_company": company.billing_company,
            "cut_off_date": str(plan.cut_off),
            "today": str(plan.today),
            "groups": listed,
            "debtors_not_listed": left,
        },
        findings=findings,
    )


async def _entries(
    connection: AsyncConnection, plan: BatchPlan, held: Iterable[expected.HeldTimesheet]
) -> list[GroupDebtor]:
    """The debtors of whom there is something to say, in the order of their Account Names."""
    counts = await groups.counts_by_debtor(connection)
    amounts = await groups.amounts_by_debtor(connection)
    found = {
        debtor.account_name: GroupDebtor(
            debtor,
            counts.get(debtor.debtor_no, DebtorCounts()),
            amounts.get(debtor.debtor_no, ()),
            plan.decisions.timesheet_counts.get(debtor.account_name, NONE_EXPECTED),
        )
        for debtor in plan.debtors
    }
    for each in held:
        weeks_to = found[each.account_name].debtor.window.weeks_to
        if weeks_to is None or each.week_ending <= weeks_to:
            found[each.account_name].held[each.code] += 1
    return [entry for entry in found.values() if entry.is_of_interest]


def _document_row(
    plan: BatchPlan, entries: Sequence[GroupDebtor]
) -> tuple[list[dict[str, Any]], int]:
    """The groups in the order of their names, those without a time group last; how many debtors are only counted: the answer is one message."""
    by_group: dict[str, list[GroupDebtor]] = {}
    for entry in entries:
        by_group.setdefault(entry.debtor.batch_group, []).append(entry)
    found = []
    debtors, bytes_left = 0, MOST_BYTES
    for name in sorted(by_group, key=lambda name: (name == NO_GROUP, name)):
        listed: list[dict[str, Any]] = []
        for entry in by_group[name]:
            row = _debtor(entry)
            bytes_left -= len(json.dumps(row, ensure_ascii=False).encode())
            if bytes_left < 0 or debtors == MOST_DEBTORS:
                break
            listed.append(row)
            debtors += 1
        found.append(_group(plan, name, by_group[name]) | {"listed": listed})
    return found, len(entries) - debtors


def _group(plan: BatchPlan, name: str, entries: Sequence[GroupDebtor]) -> dict[str, Any]:
    group = plan.decisions.time_groups.get(name)
    cycle = entries[0].debtor.window.cycle
    return {
        "group": name,
        "cycle": group.words if group else "no time group" if name == NO_GROUP else "unknown",
        "first_day": str(cycle.first_day) if cycle else None,
        "last_day": str(cycle.last_day) if cycle else None,
        "debtors": len(entries),
        "states": dict(Counter(entry.state for entry in entries)),
    } | _sums(entries)


def _debtor(entry: GroupDebtor) -> dict[str, Any]:
    missing = [
        f"{each.worker_id} on {each.requirement_id}, week ending {each.week_ending}"
        for each in entry.timesheet_counts.missing[:MOST_MISSING]
    ]
    return {
        "account_name": entry.debtor.account_name,
        "state": entry.state,
        "why": entry.debtor.parked or entry.debtor.waiting,
        "missing_timesheets": entry.debtor.missing_timesheets,
        "missing": missing,
    } | _sums([entry])


def _sums(entries: Sequence[GroupDebtor]) -> dict[str, Any]:
    """What is in, late and held, and the amounts, of one debtor or of many."""
    held: Counter[str] = Counter()
    for entry in entries:
        held += entry.held
    return {
        "timesheets": sum(each.counts.timesheets for each in entries),
        "late": sum(each.counts.late for each in entries),
        "corrections": sum(each.counts.corrections for each in entries),
        "products": sum(each.counts.products for each in entries),
        "held": sum(held.values()),
        "held_by_code": dict(sorted(held.items())),
        "expected": sum(each.timesheet_counts.expected for each in entries),
        "received": sum(each.timesheet_counts.received for each in entries),
        "amounts": _amounts(amount for each in entries for amount in each.amounts),
    }


def _amounts(amounts: Iterable[DebtorAmount]) -> list[dict[str, Any]]:
    """Per currency: net of what is in, and of what is kept back because its debtor waits or is parked."""
    lines: Counter[str] = Counter()
    net: dict[str, Decimal] = {}
    kept: dict[str, Decimal] = {}
    for each in amounts:
        lines[each.currency] += each.lines
        net[each.currency] = net.get(each.currency, Decimal(0)) + each.net
        kept[each.currency] = kept.get(each.currency, Decimal(0)) + each.kept
    return [
        {
            "currency": currency,
            "lines": lines[currency],
            "net": str(rounded(net[currency], currency)),
            "kept": str(rounded(kept[currency], currency)),
        }
        for currency in sorted(net)
    ]


HANDLERS: Mapping[type[Any], CommandHandler] = {ListBatchGroups: on_list_batch_groups}
SNAPSHOT = frozenset({"list-batch-groups"})
