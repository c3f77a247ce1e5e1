"""Handles the command `what-if`: what several cut-offs would bill of the same data.

The answer also says which lines are in by one cut-off and not by the next, and why.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.build_batch import BatchPlan, build
from services.invoicer.batches.handlers.check_health import require_company_health
from services.invoicer.invoices.rules.totals import totals
from services.invoicer.questions.rules import CutOffDecisions, LineDifference, explain_difference
from services.invoicer.questions.store import what_if
from shared.consumer.commands import Answer, CommandHandler
from shared.events.commands import WhatIf
from shared.money import ZERO, rounded
from shared.terms import counted

MOST_ROWS = 300
Sums = dict[tuple[str, str], dict[str, Any]]
"""By Account Name and currency: documents, lines, net, tax and total."""


async def on_what_if(connection: AsyncConnection, command: WhatIf) -> Answer:
    """Select for each cut-off, the earliest first; nothing is written."""
    cut_offs = sorted(set(command.cut_off_dates))
    summaries: list[dict[str, Any]] = []
    decisions: list[CutOffDecisions] = []
    sums: list[Sums] = []
    for number, cut_off in enumerate(cut_offs):
        plan = await build(connection, command.billing_company, cut_off)
        await require_company_health(connection, plan)
        summaries.append(
            {
                "cut_off_date": str(plan.cut_off),
                "documents": len(plan.documents),
                "lines": sum(each.group.line_count for each in plan.documents),
                "totals": plan.totals,
                "left_out": plan.left_out,
                "parked_debtors": len(plan.parked),
            }
        )
        debtors = {debtor.debtor_no: debtor for debtor in plan.debtors}
        decisions.append(CutOffDecisions(cut_off, debtors, plan.decisions.time_groups))
        sums.append(_sums(plan))
        await what_if.keep_selection(connection, number)
    differences = [
        _difference_row(each, decisions[before], decisions[after])
        for before, after in pairwise(range(len(cut_offs)))
        for each in await what_if.differences_between(connection, before, after)
    ]
    debtor_rows = _debtor_rows(cut_offs, sums)
    words = ", ".join(
        f"{each['cut_off_date']}: {counted(each['documents'], 'document')}"
        f" with {counted(each['lines'], 'line')}"
        for each in summaries
    )
    return Answer(
        f"{words}, for {command.billing_company} by {counted(len(cut_offs), 'cut-off')}"
        " over the same data; nothing was written",
        details={
            "billing_company": command.billing_company,
            "cut_offs": summaries,
            "debtors": debtor_rows[:MOST_ROWS],
            "differences": differences[:MOST_ROWS],
            "debtors_not_listed": max(0, len(debtor_rows) - MOST_ROWS),
            "differences_not_listed": max(0, len(differences) - MOST_ROWS),
        },
    )


def _sums(plan: BatchPlan) -> Sums:
    by_debtor: dict[str, list[tuple[str, int, Any, Any]]] = {}
    for each in plan.documents:
        by_debtor.setdefault(each.group.account_name, []).append(
            (each.group.currency, each.group.line_count, each.group.net, each.group.tax)
        )
    return {
        (name, total.currency): total.row
        for name, documents in by_debtor.items()
        for total in totals(documents)
    }


def _debtor_rows(cut_offs: Sequence[date], sums: Sequence[Sums]) -> list[dict[str, Any]]:
    """Return one row for each cut-off and debtor, of the debtors for whom the cut-offs differ."""
    debtor_rows = []
    for name, currency in sorted({key for each in sums for key in each}):
        rows = [each.get((name, currency)) for each in sums]
        if all(row == rows[0] for row in rows):
            continue
        nothing = {"currency": currency, "documents": 0, "lines": 0}
        nothing |= dict.fromkeys(("net", "tax", "total"), str(rounded(ZERO, currency)))
        debtor_rows += [
            {"account_name": name, "cut_off_date": str(cut_off)} | (row or nothing)
            for cut_off, row in zip(cut_offs, rows, strict=True)
        ]
    return debtor_rows


def _difference_row(
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
