"""Handles the command `list-batch-groups`: the batch groups of a cut-off and their debtors.

A batch group is a billing company and a cycle. The answer says what is in, late, held and expected.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.build_batch import BatchPlan, build
from services.invoicer.batches.handlers.check_health import check_health
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
from shared.money import ZERO, plain, rounded
from shared.terms import counted

MOST_DEBTORS = 1_000
MOST_BYTES = MESSAGE_BYTES * 2 // 3
"""The bytes of the listed debtors; the rest of the message is enough for hundreds of groups."""
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
        """Whether the debtor has amounts, held timesheets or expected timesheets."""
        return bool(self.amounts or self.held or self.timesheet_counts.expected)

    @property
    def state(self) -> str:
        """What a batch would do with the debtor now."""
        if self.debtor.parked or self.debtor.waiting:
            return "parked" if self.debtor.parked else "waits"
        return "in" if any(each.lines for each in self.amounts) else "nothing"


async def on_list_batch_groups(connection: AsyncConnection, command: ListBatchGroups) -> Answer:
    """Report what each batch group has for a cut-off; nothing is written."""
    company = await company_of(connection, command.billing_company)
    placements = await expected.placements_for(connection, company.billing_company)
    held = await expected.held_for(connection, company.billing_company)
    more_debtors = {each.account_name for each in placements}
    more_debtors |= {each.account_name for each in held}
    plan = await build(
        connection,
        company.billing_company,
        command.cut_off_date,
        BatchRequest(more_debtors=more_debtors, count_all=True),
    )
    debtors = await _debtors_of_interest(connection, plan, held)
    listed, not_listed = _list_groups(plan, debtors)
    findings = await check_health(connection, plan)
    waiting = sum(each.state in ("waits", "parked") for each in debtors)
    return Answer(
        f"{counted(len(listed), 'batch group')} of {company.billing_company} up to {plan.cut_off}:"
        f" {counted(len(debtors), 'debtor')}, {waiting} waiting or parked",
        details={
            "billing_company": company.billing_company,
            "cut_off_date": str(plan.cut_off),
            "today": str(plan.today),
            "groups": listed,
            "debtors_not_listed": not_listed,
        },
        findings=findings,
    )


async def _debtors_of_interest(
    connection: AsyncConnection, plan: BatchPlan, held: Iterable[expected.HeldTimesheet]
) -> list[GroupDebtor]:
    """Return the debtors that have anything to report, in the order of their Account Names."""
    counts = await groups.counts_by_debtor(connection)
    amounts = await groups.amounts_by_debtor(connection)
    debtors = {
        debtor.account_name: GroupDebtor(
            debtor,
            counts.get(debtor.debtor_no, DebtorCounts()),
            amounts.get(debtor.debtor_no, ()),
            plan.decisions.timesheet_counts.get(debtor.account_name, NONE_EXPECTED),
        )
        for debtor in plan.debtors
    }
    for each in held:
        debtor = debtors[each.account_name]
        weeks_to = debtor.debtor.window.weeks_to
        if weeks_to is None or each.week_ending <= weeks_to:
            debtor.held[each.code] += 1
    return [debtor for debtor in debtors.values() if debtor.is_of_interest]


def _list_groups(
    plan: BatchPlan, debtors: Sequence[GroupDebtor]
) -> tuple[list[dict[str, Any]], int]:
    """Return the groups, sorted by name, and how many debtors they do not list.

    The debtors without a time group come last. The answer is one message, so it cannot list all.
    """
    by_group: dict[str, list[GroupDebtor]] = {}
    for debtor in debtors:
        by_group.setdefault(debtor.debtor.batch_group, []).append(debtor)
    groups = []
    listed, bytes_left = 0, MOST_BYTES
    for name in sorted(by_group, key=lambda name: (name == NO_GROUP, name)):
        rows: list[dict[str, Any]] = []
        for debtor in by_group[name]:
            row = _debtor_row(debtor)
            bytes_left -= len(json.dumps(row, ensure_ascii=False).encode())
            if bytes_left < 0 or listed == MOST_DEBTORS:
                break
            rows.append(row)
            listed += 1
        groups.append(_group_row(plan, name, by_group[name]) | {"listed": rows})
    return groups, len(debtors) - listed


def _group_row(plan: BatchPlan, name: str, debtors: Sequence[GroupDebtor]) -> dict[str, Any]:
    group = plan.decisions.time_groups.get(name)
    cycle = debtors[0].debtor.window.cycle
    return {
        "group": name,
        "cycle": group.words if group else "no time group" if name == NO_GROUP else "unknown",
        "first_day": str(cycle.first_day) if cycle else None,
        "last_day": str(cycle.last_day) if cycle else None,
        "debtors": len(debtors),
        "states": dict(Counter(debtor.state for debtor in debtors)),
    } | _sums(debtors)


def _debtor_row(debtor: GroupDebtor) -> dict[str, Any]:
    missing = [
        f"{each.worker_id} on {each.requirement_id}, week ending {each.week_ending}"
        for each in debtor.timesheet_counts.missing[:MOST_MISSING]
    ]
    return {
        "account_name": debtor.debtor.account_name,
        "state": debtor.state,
        "why": debtor.debtor.parked or debtor.debtor.waiting,
        "missing_timesheets": debtor.debtor.missing_timesheets,
        "missing": missing,
    } | _sums([debtor])


def _sums(debtors: Sequence[GroupDebtor]) -> dict[str, Any]:
    """Add up what is in, late, held and expected, and the amounts, of some debtors."""
    held: Counter[str] = Counter()
    for debtor in debtors:
        held += debtor.held
    return {
        "timesheets": sum(each.counts.timesheets for each in debtors),
        "late": sum(each.counts.late for each in debtors),
        "corrections": sum(each.counts.corrections for each in debtors),
        "products": sum(each.counts.products for each in debtors),
        "held": sum(held.values()),
        "held_by_code": dict(sorted(held.items())),
        "expected": sum(each.timesheet_counts.expected for each in debtors),
        "received": sum(each.timesheet_counts.received for each in debtors),
        "hours": plain(sum((one.hours for each in debtors for one in each.amounts), ZERO)),
        "amounts": _amounts(amount for each in debtors for amount in each.amounts),
    }


def _amounts(amounts: Iterable[DebtorAmount]) -> list[dict[str, Any]]:
    """Add up, by currency, the net of what is in and of what is kept back."""
    by_currency: dict[str, list[DebtorAmount]] = {}
    for amount in amounts:
        by_currency.setdefault(amount.currency, []).append(amount)
    return [
        {
            "currency": currency,
            "lines": sum(each.lines for each in of_currency),
            "net": str(rounded(sum((each.net for each in of_currency), ZERO), currency)),
            "kept": str(rounded(sum((each.kept for each in of_currency), ZERO), currency)),
        }
        for currency, of_currency in sorted(by_currency.items())
    ]


HANDLERS: Mapping[type[Any], CommandHandler] = {ListBatchGroups: on_list_batch_groups}
SNAPSHOT = frozenset({"list-batch-groups"})
