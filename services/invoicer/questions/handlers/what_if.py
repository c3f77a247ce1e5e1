"""Several cut-offs over one snapshot: what each would bill, and which lines are in by one and not by the next, with the reason."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.batches import refuse_if_blocked
from services.invoicer.batches.handlers.build_batch import BatchPlan, build, check_health
from services.invoicer.invoices.rules.totals import totals
from services.invoicer.questions.rules import CutOffDecisions, LineDifference, explain_difference
from services.invoicer.questions.store import what_if
from shared.consumer.commands import Answer, CommandHandler
from shared.events.commands import WhatIf
from shared.money import ZERO, rounded
from shared.terms import counted

MOST_ROWS = 300
Sums = dict[tuple[str, str], dict[str, Any]]
"""By Account Name and currency: documents, lines, net, tax, total."""


async def on_what_if(connection: AsyncConnection, command: WhatIf) -> Answer:
    """Selects for each cut-off in turn, the earliest first; nothing is written."""
    cut_offs = sorted(set(command.cut_off_dates))
    summaries: list[dict[str, Any]] = []
    sides: list[CutOffDecisions] = []
    sums: list[Sums] = []
    for number, cut_off in enumerate(cut_offs):
        plan = await build(connection, command.billing_company, cut_off)
        refuse_if_blocked(await check_health(connection, plan, full=False))
        summaries.append(_summary(plan))
        sides.append(
            CutOffDecisions(
                cut_off,
                {debtor.debtor_no: debtor for debtor in plan.debtors},
                plan.decisions.time_groups,
            )
        )
        sums.append(_sums(plan))
        await what_if.keep_selection(connection, number)
    differences: list[dict[str, Any]] = []
    for before, after in pairwise(range(len(cut_offs))):
        differences += [
            _difference(each, sides[before], sides[after])
            for each in await what_if.differences_between(connection, before, after)
        ]
    debtors = _debtors(cut_offs, sums)
    words = ", ".join(
        f"{each['cut_off_date']}: {counted(each['documents'], 'document')} with {counted(each['lines'], 'line')}"
        for each in summaries
    )
    return Answer(
        f"{command.billing_company} by {counted(len(cut_offs), 'cut-off')} over the same state: {words}; nothing was written",
        details={
            "billing_company": command.billing_company,
            "cut_offs": summaries,
            "debtors": debtors[:MOST_ROWS],
            "differences": differences[:MOST_ROWS],
            "debtors_not_listed": max(0, len(debtors) - MOST_ROWS),
            "differences_not_listed": max(0, len(differences) - MOST_ROWS),
        },
    )


def _summary(plan: BatchPlan) -> dict[str, Any]:
    return {
        "cut_off_date": str(plan.cut_off),
        "documents": len(plan.documents),
        "lines": sum(each.group.line_count for each in plan.documents),
        "totals": plan.totals,
        "left_out": plan.left_out,
        "parked_debtors": len(plan.parked),
    }


def _sums(plan: BatchPlan) -> Sums:
    by_debtor: dict[str, list[tuple[str, int, Any, Any]]] = {}
    for each in plan.documents:
        by_debtor.setdefault(each.group.account_name, []).append(
            (each.group.currency, each.group.line_count, each.group.net, each.group.tax)
        )
    return {
        (name, one.currency): one.row
        for name, documents in by_debtor.items()
        for one in totals(documents)
    }


def _debtors(cut_offs: Sequence[date], sums: Sequence[Sums]) -> list[dict[str, Any]]:
    """The debtors for whom the cut-offs differ: one row for each cut-off."""
    found = []
    for name, currency in sorted({key for each in sums for key in each}):
        rows = [each.get((name, currency)) for each in sums]
        if all(row == rows[0] for row in rows):
            continue
        for cut_off, row in zip(cut_offs, rows, strict=True):
            values = row or {
                "currency": currency,
                "documents": 0,
                "lines": 0,
                **dict.fromkeys(("net", "tax", "total"), str(rounded(ZERO, currency))),
            }
            found.append({"account_name": name, "cut_off_date": str(cut_off)} | values)
    return found


def _difference(
    each: LineDifference, before: CutOffDecisions, after: CutOffDecisions
) -> dict[str, Any]:
    debtor = after.debtors.get(each.debtor_no)
    return {
        "account_name": debtor.account_name if debtor else "",
        "from": str(before.cut_off),
        "to": str(after.cut_off),
        "is": "in" if each.reason_before else "out",
        "lines": each.lines,
        "amount": str(rounded(each.amount, each.currency)),
        "currency": each.currency,
        "why": explain_difference(each, before, after),
        "pay_line_ids": list(each.pay_line_ids),
    }


HANDLERS: Mapping[type[Any], CommandHandler] = {WhatIf: on_what_if}
SNAPSHOT = frozenset({"what-if"})
