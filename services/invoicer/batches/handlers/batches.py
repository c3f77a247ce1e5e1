"""Handles the commands `health-check`, `preview-batch` and `generate-batch`."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.build_batch import BatchPlan, build, buyers
from services.invoicer.batches.handlers.check_health import check_health, require_company_health
from services.invoicer.batches.handlers.decide_debtors import BatchRequest
from services.invoicer.batches.rules import digest
from services.invoicer.batches.rules.batch_filter import BatchFilter
from services.invoicer.batches.rules.digest import PreviewDocument
from services.invoicer.batches.rules.health import SEVERITIES
from services.invoicer.batches.store import fees as fee_lines
from services.invoicer.batches.store import parked, previews, safety_checks, selection
from services.invoicer.invoices.handlers.closing import (
    ClosedDocuments,
    Numbering,
    close_documents,
    plan_numbering,
    take_numbers,
)
from services.invoicer.invoices.rules.documents import Document, Group
from services.invoicer.invoices.rules.numbers import NumberingStart, format_number
from services.invoicer.settlement.store import note_ended_citations
from shared import faults, telemetry
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_billto, lock_companies
from shared.errors import Refused
from shared.events.billing import Finding
from shared.events.commands import (
    GenerateBatch,
    HealthCheck,
    PreviewBatch,
    RetryParked,
)
from shared.money import ZERO, plain, rounded
from shared.terms import counted, listed

MOST_DOCUMENTS = 100
MOST_NAMED = 20
Close = Callable[..., Awaitable[Answer]]
"""What closes the documents of a plan: `close_all`, or what makes drafts of some."""


async def on_health_check(connection: AsyncConnection, command: HealthCheck) -> Answer:
    """Report what a batch would take, and the problems in it and around it."""
    plan = await build(connection, command.billing_company, command.cut_off_date)
    findings = await check_health(connection, plan, full=True)
    counts = {
        severity: sum(each.severity == severity for each in findings) for severity in SEVERITIES
    }
    return Answer(
        f"{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')},"
        f" {counted(counts['info'], 'note')}"
        f" about {command.billing_company} up to {plan.cut_off}",
        details=plan_details(plan) | counts,
        findings=findings,
    )


async def on_preview_batch(connection: AsyncConnection, command: PreviewBatch) -> Answer:
    """Store what `generate-batch` would do now."""
    plan = await build(
        connection,
        command.billing_company,
        command.cut_off_date,
        BatchRequest(batch_filter_of(command)),
    )
    findings = await require_company_health(connection, plan, full=True)
    documents = await previews.preview_documents(connection, plan.documents)
    plan_digest = _digest(plan, documents)
    command_hash = hashlib.sha256(command.command_id.encode()).hexdigest()
    preview = previews.Preview(f"P-{command_hash[:16]}", plan.cut_off, plan.settings)
    group_nos = (each.group.group_no for each in plan.documents)
    await previews.add_preview(
        connection,
        preview,
        command.billing_company,
        plan_digest,
        plan.totals,
        command.actor,
        list(zip(group_nos, documents, strict=True)),
    )
    details = plan_details(plan, command.reason) | {
        "preview_id": preview.preview_id,
        "digest": plan_digest,
        "listed": [_document_row(each) for each in plan.documents[:MOST_DOCUMENTS]],
    }
    message = (
        f"a batch would close {counted(len(documents), 'document')}"
        if documents
        else nothing_to_bill(plan)
    )
    return Answer(message, details=details, findings=findings, subjects=[preview.preview_id])


async def on_generate_batch(
    connection: AsyncConnection, command: GenerateBatch, *, close: Close
) -> Answer:
    """Close a batch under the company's exclusive lock."""
    with telemetry.BATCH_SECONDS.time():
        plan, findings = await plan_batch(connection, command)
        return await close(
            connection,
            command,
            plan,
            findings,
            invoice_date=command.invoice_date,
            first_number=command.first_number,
        )


async def plan_batch(
    connection: AsyncConnection, command: GenerateBatch
) -> tuple[BatchPlan, list[Finding]]:
    """Plan a batch under the company's exclusive lock; refuse one that differs from its preview."""
    await lock_batch(connection, command.billing_company)
    plan = await build(
        connection,
        command.billing_company,
        command.cut_off_date,
        BatchRequest(batch_filter_of(command), invoice_date=command.invoice_date),
        with_digests=True,
    )
    findings = await require_company_health(connection, plan)
    await _require_digest(connection, command, plan)
    return plan, findings


async def lock_batch(connection: AsyncConnection, billing_company: str) -> None:
    """Take the locks under which a batch of a company is built and closed."""
    await lock_billto(connection)
    await lock_companies(connection, [billing_company], exclusive=True)
    await faults.point("after_locks")


async def close_all(
    connection: AsyncConnection,
    command: GenerateBatch | RetryParked,
    plan: BatchPlan,
    findings: Sequence[Finding],
    *,
    invoice_date: date | None = None,
    first_number: int | None = None,
) -> Answer:
    """Number and close the documents of a plan, under the locks under which it was built.

    A `Close`, for plans without documents that must be drafts first: `drafts` has the other.
    """
    await faults.point("batch_selected")
    numbering = plan_numbering(plan.series, plan.today, invoice_date, first_number, command.reason)
    if not plan.documents:
        return Answer(
            nothing_to_bill(plan),
            details=plan_details(plan, command.reason)
            | {"batch_id": None, "first_number": None, "last_number": None},
            findings=findings,
        )
    closed = await _close_documents(connection, command, plan, numbering)
    batch = closed.batch
    await note_ended_citations(
        connection, await selection.documents_to_note(connection, batch.company.billing_company)
    )
    await safety_checks.add_document_workers(connection)
    # A debtor that is still parked after a retry stays with the batch that parked it first.
    if isinstance(command, GenerateBatch):
        await parked.add_parked(connection, batch.batch_id, plan.parked)
    await parked.mark_billed(
        connection, batch, {each.group.account_name for each in plan.documents}
    )
    await faults.point("batch_numbered")
    await take_numbers(connection, closed)
    first, last = closed.documents[0].invoice_number, closed.documents[-1].invoice_number
    return Answer(
        f"batch {batch.batch_id}: {counted(len(closed.documents), 'document')}, {first} to {last}",
        details=plan_details(plan, command.reason)
        | {
            "batch_id": batch.batch_id,
            "invoice_date": str(batch.invoice_date),
            "first_number": first,
            "last_number": last,
            "listed": [
                {"invoice_number": each.invoice_number, "due_date": str(each.due_date)}
                | _document_row(each.document)
                for each in closed.documents[:MOST_DOCUMENTS]
            ],
        }
        | _passed_over(plan, closed.start),
        findings=findings,
        after=plan.batch_filter.settings or None,
        subjects=[
            batch.batch_id,
            *(each.invoice_number for each in closed.documents[:MOST_DOCUMENTS]),
            *sorted(plan.batch_filter.documents)[:MOST_DOCUMENTS],
        ],
        publish_after=closed.outbox_ids,
    )


async def _close_documents(
    connection: AsyncConnection,
    command: GenerateBatch | RetryParked,
    plan: BatchPlan,
    numbering: Numbering,
) -> ClosedDocuments:
    """Close the documents of a plan; the lines of MSP fees name the documents that they are on."""
    company, series = plan.company, plan.series
    has_fees = plan.options is not None and plan.options.fees is not None
    if has_fees:
        numbers = {
            document.group.group_no: format_number(series.prefix, series.width, number)
            for number, document in enumerate(plan.documents, start=numbering.start.number)
        }
        await fee_lines.open_lines(connection, company.billing_company, numbers, plan.today)
    closed = await close_documents(
        connection,
        command,
        company,
        plan.cut_off,
        numbering,
        plan.documents,
        await buyers(connection, plan),
        chosen=plan.batch_filter.chosen,
    )
    if has_fees:
        await fee_lines.keep_fees(connection)
    return closed


def batch_filter_of(command: PreviewBatch | GenerateBatch) -> BatchFilter:
    """Return the filter that the operator set."""
    return BatchFilter(
        frozenset(command.groups),
        frozenset(command.exclude_debtors),
        command.missing_timesheets,
        documents=frozenset(command.documents),
        workers=frozenset(command.workers),
        options=frozenset(command.options),
        exclude_credits=command.exclude_credits,
    )


async def _require_digest(
    connection: AsyncConnection, command: GenerateBatch, plan: BatchPlan
) -> None:
    """Refuse a batch that differs from the preview whose digest the command cites."""
    if command.digest is None:
        return
    preview = await previews.preview_for(connection, command.billing_company, command.digest)
    if preview is None:
        raise Refused(
            "unknown_digest",
            f"no preview of {command.billing_company} has the digest {command.digest}",
            "preview again and cite the new digest",
        )
    documents = await previews.preview_documents(connection, plan.documents)
    if _digest(plan, documents) == command.digest:
        return
    previewed = await previews.documents_of(connection, preview.preview_id)
    debtors = digest.debtors_that_differ(previewed, documents)
    count, line_ids = await previews.lines_that_differ(connection, preview.preview_id)
    changed = digest.changed_settings(preview.settings, plan.settings)
    if preview.cut_off != plan.cut_off:
        changed.append(f"cut-off: {preview.cut_off} then, {plan.cut_off} now")
    raise Refused(
        "digest_differs",
        f"the batch differs from preview {preview.preview_id}:"
        f" {counted(len(debtors), 'debtor')} ({', '.join(debtors[:5])}),"
        f" {counted(count, 'line')} added or removed,"
        f" changed settings: {listed(changed) or 'none'}",
        "preview again, check it, and cite the new digest",
        preview_id=preview.preview_id,
        debtors=debtors[:MOST_NAMED],
        debtor_count=len(debtors),
        lines=line_ids,
        line_count=count,
        settings=changed[:MOST_NAMED],
    )


def plan_details(plan: BatchPlan, reason: str = "") -> dict[str, Any]:
    """Return the details that every answer about a batch has, and the reason of the command."""
    hours: dict[str, Decimal] = {}
    for each in plan.documents:
        hours[each.group.currency] = hours.get(each.group.currency, ZERO) + each.group.hours
    return {
        "billing_company": plan.company.billing_company,
        "cut_off_date": str(plan.cut_off),
        "documents": len(plan.documents),
        "lines": sum(each.group.line_count for each in plan.documents),
        "totals": plan.totals,
        "hours": {currency: plain(number) for currency, number in sorted(hours.items())},
        "left_out": plan.left_out,
        "parked": [
            {
                "account_name": each.account_name,
                "code": each.code,
                "message": each.message,
                "ids": list(each.ids),
            }
            for each in plan.parked[:MOST_NAMED]
        ],
        "parked_debtors": len(plan.parked),
        **({"reason": reason} if reason else {}),
        **({"nothing_open_of": plan.without_lines[:MOST_NAMED]} if plan.without_lines else {}),
    } | ({"narrowed_to": plan.batch_filter.settings} if plan.batch_filter.settings else {})


def _passed_over(plan: BatchPlan, start: NumberingStart) -> dict[str, str]:
    """Return the numbers that the batch passes over, as documents would show them."""
    if start.jump is None:
        return {}
    first, last = (
        format_number(plan.series.prefix, plan.series.width, number) for number in start.jump
    )
    return {"numbers_passed_over": first if first == last else f"{first} to {last}"}


def _digest(plan: BatchPlan, documents: Sequence[PreviewDocument]) -> str:
    company = plan.company.billing_company
    return digest.digest(company, plan.cut_off, documents, plan.batch_filter.written)


def _document_row(document: Document) -> dict[str, Any]:
    group = document.group
    amounts = {"net": group.net, "tax": group.tax, "total": group.net + group.tax}
    return {
        "account_name": group.account_name,
        "document_type": document.document_type,
        "currency": group.currency,
        "payment_terms": group.terms.payment_terms,
        "po_number": group.po_number,
        "lines": group.line_count,
        "hours": plain(group.hours),
        **{name: str(rounded(amount, group.currency)) for name, amount in amounts.items()},
        **_allowances(group),
        **({"invoice_option": group.option.row} if group.option else {}),
        **({"fees": group.fee_rows} if group.fees else {}),
    }


def _allowances(group: Group) -> dict[str, Any]:
    """Return the discounts and surcharges of a group and their sum; nothing without any."""
    if not group.allowances:
        return {}
    total = sum((each.amount for each in group.allowances), ZERO)
    return {
        "allowance": str(rounded(total, group.currency)),
        "allowances": group.allowance_rows,
    }


def nothing_to_bill(plan: BatchPlan) -> str:
    """Say that a batch has nothing to bill, and which lines are out."""
    out = ", ".join(f"{count:,} {reason}" for reason, count in plan.left_out.items())
    return (
        f"nothing to bill for {plan.company.billing_company} up to {plan.cut_off}:"
        f" {out or 'no line is open'}"
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {
    HealthCheck: on_health_check,
    PreviewBatch: on_preview_batch,
}
SNAPSHOT = frozenset({"health-check", "preview-batch"})
