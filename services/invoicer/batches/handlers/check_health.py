"""Runs the health check on a batch plan: reads the snapshot and applies the rules."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.build_batch import BatchPlan
from services.invoicer.batches.rules import health, reasons
from services.invoicer.batches.rules.health import VERY_LATE
from services.invoicer.batches.rules.health_snapshot import NONE, CountedIds, HealthSnapshot
from services.invoicer.batches.rules.ledgers import Codes, LedgerConnection, unmapped, unusable
from services.invoicer.batches.rules.option_findings import TWO_INVOICE_OPTIONS
from services.invoicer.batches.store import health as store
from services.invoicer.batches.store import ledgers
from services.invoicer.debtors.rules.account_names import look_alikes
from shared.errors import Refused
from shared.events.billing import Finding

MOST_DEBTORS = 3
"""Debtors of which a finding about details shows them."""
COUNTED_REASONS = {
    "edit_meets_revision": reasons.EDIT_MEETS_REVISION,
    "snoozed_lines": reasons.SNOOZED,
    reasons.OPTION_DOES_NOT_FIT: reasons.OPTION_DOES_NOT_FIT,
    reasons.NO_INVOICE_OPTION: reasons.NO_INVOICE_OPTION,
    reasons.NOT_VISIBLE: reasons.NOT_VISIBLE,
}
GROUPED_REASONS: Mapping[str, Literal["node", "tax_code"]] = {
    reasons.NO_ACCOUNT_NAME: "node",
    reasons.UNKNOWN_NODE: "node",
    reasons.NO_TAX_RATE: "tax_code",
}
"""The reasons whose lines are counted by billto node or tax code; a rule has the same code."""


async def require_company_health(
    connection: AsyncConnection, plan: BatchPlan, *, full: bool = False
) -> list[Finding]:
    """Check the health of a plan; an error about the billing company refuses the command."""
    findings = await check_health(connection, plan, full=full)
    error = health.refusal(findings)
    if error is not None:
        raise Refused(error.code, error.message, error.fix)
    return findings


async def check_health(
    connection: AsyncConnection, plan: BatchPlan, *, full: bool = False
) -> list[Finding]:
    """Return what the health rules find in a plan. `full`: also in what is not in any batch yet."""
    company = plan.company.billing_company
    counts = {
        "worker_day_on_two_requirements": plan.double_days,
        "debtor_in_two_currencies": _in_two_currencies(plan),
        TWO_INVOICE_OPTIONS: CountedIds.all(
            f"{name} ({options})" for name, options in plan.decisions.option_conflicts.items()
        ),
        "zero_total": CountedIds.all(sorted({group.account_name for group in plan.zero})),
    }
    # Lines are counted only for the reasons that the selection has used.
    for code, reason in COUNTED_REASONS.items():
        if reason in plan.left_out:
            number = reasons.number(reason)
            counts[code] = await store.counted(connection, "lines_out", reason=number)
    waits_for_price = 0
    if full or reasons.TO_BE_PRICED in plan.left_out:
        unpriced, waits_for_price = await store.to_be_priced(connection, company)
        counts[reasons.TO_BE_PRICED] = unpriced
    if full:
        counts |= await store.counts(connection, company, plan.cut_off - VERY_LATE, plan.today)
        if plan.options is not None and plan.options.have_workflows:
            counts |= await store.workflow_counts(connection, company, plan.today)
    connections = await ledgers.ledgers_of(connection, company)
    lacking, useless = await _mapping_problems(connection, connections, plan)
    parked = [each for each in plan.debtors if each.parked and not each.left_out]
    snapshot = HealthSnapshot(
        company=plan.company,
        today=plan.today,
        cut_off=plan.cut_off,
        series=plan.series,
        documents=len(plan.documents),
        counts=counts,
        lines={
            reason: await store.lines_out_by(connection, reason, column)
            for reason, column in GROUPED_REASONS.items()
            if reason in plan.left_out
        },
        waits_for_price=waits_for_price,
        parked={each.account_name: each.parked for each in parked},
        waiting={each.account_name: each.waiting for each in plan.debtors if each.waiting},
        held=await store.held(connection, company) if full else {},
        known_time_groups=plan.decisions.known_time_groups,
        ledgers=connections,
        unmapped=lacking,
        unusable=useless,
        details=await _differing_details(connection, counts),
        look_alikes=await _look_alikes(connection) if full else (),
        retainers=await store.retainers_left(connection, company, plan.today) if full else {},
    )
    return health.findings(snapshot)


async def _differing_details(
    connection: AsyncConnection, counts: Mapping[str, CountedIds]
) -> list[str]:
    """Return what differs between the nodes of the first debtors with different details."""
    names = counts.get("one_name_two_addresses", NONE).ids[:MOST_DEBTORS]
    return await store.details_of_names(connection, names) if names else []


async def _look_alikes(connection: AsyncConnection) -> list[tuple[str, ...]]:
    """Return the look-alikes of debtors with lines in the selection."""
    selected = await store.account_names(connection)
    groups = await asyncio.to_thread(look_alikes, selected)
    return [group for group in groups if any(selected[name] for name in group)]


def _in_two_currencies(plan: BatchPlan) -> CountedIds:
    currencies: dict[str, set[str]] = {}
    for document in plan.documents:
        group = document.group
        currencies.setdefault(group.account_name, set()).add(group.currency)
    return CountedIds.all(sorted(name for name, used in currencies.items() if len(used) > 1))


async def _mapping_problems(
    connection: AsyncConnection, connections: Sequence[LedgerConnection], plan: BatchPlan
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return by connected ledger the codes that its mapping lacks and what is wrong with others.

    Both are about the lines that are in. They are read for every batch that takes numbers, because
    the delivery would refuse its documents.
    """
    connected = [each for each in connections if each.state != "disconnected" and each.maps_codes]
    sold = await ledgers.sold_items(connection) if connected else []
    lacking, useless = {}, {}
    for each in connected:
        codes = await ledgers.codes_of(connection, each.ledger)
        lacking[each.ledger] = unmapped(sold, codes, each.line_code)
        known = await ledgers.unusable_codes(connection, each.ledger)
        useless[each.ledger] = unusable(sold, codes, _used_besides(plan, codes), known)
    return lacking, useless


def _used_besides(plan: BatchPlan, codes: Codes) -> set[tuple[str, str]]:
    """Return the currencies of the documents, and the mapped codes of their payment terms."""
    groups = [document.group for document in plan.documents]
    terms = {group.terms.payment_terms for group in groups}
    return {("currency", group.currency) for group in groups} | {
        ("term", code if ("term", code) in codes else "") for code in terms
    }
