"""Handles `create-drafts`, `generate-batch` and `retry-parked`.

A batch closes the documents whose options need nothing and makes drafts of the others.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers import batches, parked
from services.invoicer.batches.handlers.build_batch import BatchPlan, build
from services.invoicer.batches.handlers.check_health import require_company_health
from services.invoicer.batches.handlers.decide_debtors import BatchRequest
from services.invoicer.batches.rules.batch_filter import BatchFilter
from services.invoicer.drafts.handlers.making import draft_rows, make_drafts, option_of
from services.invoicer.drafts.store import drafts as store
from services.invoicer.drafts.store.drafts import Draft
from services.invoicer.invoices.handlers.closing import document_totals
from services.invoicer.invoices.rules.documents import Document
from shared import faults
from shared.consumer.commands import Answer, CommandHandler
from shared.events.billing import Finding
from shared.events.commands import CreateDrafts, GenerateBatch, RetryParked
from shared.terms import counted, listed

MOST_NAMED = 5


async def on_create_drafts(connection: AsyncConnection, command: CreateDrafts) -> Answer:
    """Make drafts of all that is due up to the cut-off date."""
    await batches.lock_batch(connection, command.billing_company)
    plan = await build(
        connection,
        command.billing_company,
        command.cut_off_date,
        BatchRequest(BatchFilter(options=frozenset(command.options))),
    )
    findings = await require_company_health(connection, plan)
    await faults.point("batch_selected")
    if not plan.documents:
        return Answer(
            await nothing_left(connection, plan),
            details=batches.plan_details(plan, command.reason) | {"drafts": []},
            findings=findings,
        )
    drafts = await make_drafts(
        connection, command, plan, plan.documents, "drafts_create", command.command_id
    )
    return Answer(
        f"{counted(len(drafts), 'draft')}: {names_of(drafts)}",
        details=batches.plan_details(plan, command.reason) | {"drafts": draft_rows(drafts)},
        findings=findings,
        subjects=[each.name for each in drafts[:100]],
    )


async def close_or_draft(
    connection: AsyncConnection,
    command: GenerateBatch | RetryParked,
    plan: BatchPlan,
    findings: Sequence[Finding],
    *,
    invoice_date: date | None = None,
    first_number: int | None = None,
) -> Answer:
    """Close a plan, and make drafts of the documents whose options need more than that."""
    to_draft = [each for each in plan.documents if needs_draft(plan, each)]
    drafts = await make_drafts(connection, command, plan, to_draft, "batch", command.command_id)
    if to_draft:
        closing = [each for each in plan.documents if not needs_draft(plan, each)]
        plan = replace(plan, documents=closing, totals=document_totals(closing))
    answer = await batches.close_all(
        connection,
        command,
        plan,
        findings,
        invoice_date=invoice_date,
        first_number=first_number,
    )
    if drafts:
        closed = f"{answer.message}; " if plan.documents else ""
        answer.message = f"{closed}{counted(len(drafts), 'draft')}: {names_of(drafts)}"
        answer.details["drafts"] = draft_rows(drafts)
        answer.subjects = [*answer.subjects, *(each.name for each in drafts[:100])]
    return answer


def needs_draft(plan: BatchPlan, document: Document) -> bool:
    """Return whether the option of a document needs approval or a transfer first."""
    option = option_of(plan, document.group)
    return option is not None and not option.closes_at_once


def names_of(drafts: list[Draft]) -> str:
    """Return the names of drafts, the first and the last of many."""
    names = [each.name for each in drafts]
    return listed(names) if len(names) <= MOST_NAMED else f"{names[0]} to {names[-1]}"


async def nothing_left(connection: AsyncConnection, plan: BatchPlan) -> str:
    """Say that nothing is left for drafts, and which drafts have lines."""
    holders = await store.drafts_with_lines(connection, plan.company.billing_company)
    on_drafts = f"; on drafts: {listed(holders[:MOST_NAMED])}" if holders else ""
    return batches.nothing_to_bill(plan) + on_drafts


HANDLERS: dict[type[Any], CommandHandler] = {
    CreateDrafts: on_create_drafts,
    GenerateBatch: partial(batches.on_generate_batch, close=close_or_draft),
    RetryParked: partial(parked.on_retry_parked, close=close_or_draft),
}
