"""Commands about batches: health check, preview, generate, record a download. Locks, builds, numbers, closes, answers."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.build_batch import BatchPlan, build, buyers, check_health
from services.invoicer.batches.handlers.decide_debtors import BatchRequest
from services.invoicer.batches.rules import digest, health
from services.invoicer.batches.rules.batch_filter import BatchFilter
from services.invoicer.batches.rules.digest import PreviewDocument
from services.invoicer.batches.store import parked, previews, safety_checks
from services.invoicer.invoices.handlers.closing import (
    close_documents,
    plan_numbering,
    take_numbers,
)
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
from shared.money import rounded
from shared.terms import counted

MOST_DOCUMENTS = 100
MOST_NAMED = 20


async def on_health_check(connection: AsyncConnection, command: HealthCheck) -> Answer:
    """Says what stands in the way of a batch, and what is in it."""
    plan = await build(connection, command.billing_company, command.cut_off_date)
    found = await check_health(connection, plan, full=True)
    counts = {
        severity: sum(1 for each in found if each.severity == severity)
        for severity in ("error", "warning", "info")
    }
    return Answer(
        f"{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}, {counted(counts['info'], 'note')}"
        f" about {command.billing_company} up to {plan.cut_off}",
        details=plan_details(plan) | counts,
        findings=found,
    )


async def on_preview_batch(connection: AsyncConnection, command: PreviewBatch) -> Answer:
    """Stores what generate-batch would do now."""
    plan = await build(
        connection,
        command.billing_company,
        command.cut_off_date,
        BatchRequest(batch_filter_of(command)),
    )
    found = await check_health(connection, plan, full=True)
    refuse_if_blocked(found)
    documents = await previews.preview_documents(connection, plan.documents)
    fingerprint = digest.digest(
        command.billing_company, plan.cut_off, documents, plan.batch_filter.written
    )
    preview = previews.Preview(f"P-{_short(command.command_id, 16)}", plan.cut_off, plan.settings)
    numbered = [
        (each.group.group_no, document)
        for each, document in zip(plan.documents, documents, strict=True)
    ]
    await previews.add_preview(
        connection,
        preview,
        command.billing_company,
        fingerprint,
        plan.totals,
        command.actor,
        numbered,
    )
    details = plan_details(plan) | {
        "preview_id": preview.preview_id,
        "digest": fingerprint,
        "listed": [_document_row(each) for each in documents[:MOST_DOCUMENTS]],
    }
    message = (
        f"{counted(len(documents), 'document')} would be closed"
        if documents
        else nothing_to_bill(plan)
    )
    return Answer(message, details=details, findings=found, subjects=[preview.preview_id])


async def on_generate_batch(connection: AsyncConnection, command: GenerateBatch) -> Answer:
    """Builds, numbers and closes a batch under the company's exclusive lock."""
    with telemetry.BATCH_SECONDS.time():
        return await _generate(connection, command)


async def _generate(connection: AsyncConnection, command: GenerateBatch) -> Answer:
    await lock_billto(connection)
    await lock_companies(connection, [command.billing_company], exclusive=True)
    await faults.point("after_locks")
    plan = await build(
        connection,
        command.billing_company,
        command.cut_off_date,
        BatchRequest(batch_filter_of(command), on=command.invoice_date),
        with_digests=True,
    )
    found = await check_health(connection, plan, full=False)
    refuse_if_blocked(found)
    await _require_digest(connection, command, plan)
    return await close(
        connection,
        command,
        plan,
        found,
        invoice_date=command.invoice_date,
        first_number=command.first_number,
    )


async def close(
    connection: AsyncConnection,
    command: GenerateBatch | RetryParked,
    plan: BatchPlan,
    found: Sequence[Finding],
    *,
    invoice_date: date | None = None,
    first_number: int | None = None,
) -> Answer:
    """Numbers and closes what was built, under the locks under which it was built."""
    await faults.point("batch_selected")
    numbering = plan_numbering(plan.series, plan.today, invoice_date, first_number, command.reason)
    if not plan.documents:
        return Answer(
            nothing_to_bill(plan),
            details=plan_details(plan)
            | {"batch_id": None, "first_number": None, "last_number": None},
            findings=found,
        )
    closed = await close_documents(
        connection,
        command,
        plan.company,
        plan.cut_off,
        numbering,
        plan.documents,
        await buyers(connection, plan),
    )
    batch = closed.batch
    await safety_checks.add_workers(connection)
    if isinstance(
        command, GenerateBatch
    ):  # who is still parked after a retry stays on the list of the batch that parked him
        await parked.add_parked(connection, batch.batch_id, plan.parked)
    await parked.mark_billed(
        connection, batch, {each.group.account_name for each in plan.documents}
    )
    await faults.point("batch_numbered")
    await take_numbers(connection, closed)
    first, last = closed.documents[0].invoice_number, closed.documents[-1].invoice_number
    return Answer(
        f"batch {batch.batch_id}: {counted(len(closed.documents), 'document')}, {first} to {last}",
        details=plan_details(plan)
        | {
            "batch_id": batch.batch_id,
            "invoice_date": str(batch.invoice_date),
            "first_number": first,
            "last_number": last,
        },
        findings=found,
        subjects=[
            batch.batch_id,
            *(each.invoice_number for each in closed.documents[:MOST_DOCUMENTS]),
        ],
        publish_after=closed.outbox_ids,
    )


def batch_filter_of(command: PreviewBatch | GenerateBatch) -> BatchFilter:
    """What the operator narrows the batch to."""
    return BatchFilter(
        frozenset(command.groups), frozenset(command.exclude_debtors), command.missing_timesheets
    )


def refuse_if_blocked(found: Sequence[Finding]) -> None:
    """An error about the billing company stops everything."""
    stop = health.refusal(found)
    if stop is not None:
        raise Refused(stop.code, stop.message, stop.fix)


async def _require_digest(
    connection: AsyncConnection, command: GenerateBatch, plan: BatchPlan
) -> None:
    """Refuses a batch that is not what the cited preview showed."""
    if command.digest is None:
        return
    preview = await previews.preview_for(connection, command.billing_company, command.digest)
    if preview is None:
        raise Refused(
            "unknown_digest",
            f"no preview of {command.billing_company} has the digest {command.digest}",
            "preview again and cite the digest that it gives",
        )
    documents = await previews.preview_documents(connection, plan.documents)
    if (
        digest.digest(command.billing_company, plan.cut_off, documents, plan.batch_filter.written)
        == command.digest
    ):
        return
    then = await previews.documents_of(connection, preview.preview_id)
    debtors = digest.debtors_that_differ(then, documents)
    count, line_ids = await previews.lines_that_differ(connection, preview.preview_id)
    changed = digest.changed_settings(preview.settings, plan.settings)
    if preview.cut_off != plan.cut_off:
        changed.append(f"cut-off: {preview.cut_off} then, {plan.cut_off} now")
    raise Refused(
        "digest_differs",
        f"the batch is no longer what preview {preview.preview_id} showed: {len(debtors)} debtors differ ({', '.join(debtors[:5])}),"
        f" {count} lines came or went, changed settings: {_counted_ids(changed)}",
        "preview again, look, and cite the new digest",
        preview_id=preview.preview_id,
        debtors=debtors[:MOST_NAMED],
        debtor_count=len(debtors),
        lines=line_ids,
        line_count=count,
        settings=changed[:MOST_NAMED],
    )


def plan_details(plan: BatchPlan) -> dict[str, Any]:
    """What every answer about a batch tells."""
    return {
        "billing_company": plan.company.billing_company,
        "cut_off_date": str(plan.cut_off),
        "documents": len(plan.documents),
        "lines": sum(each.group.line_count for each in plan.documents),
        "totals": plan.totals,
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
    } | ({"narrowed_to": plan.batch_filter.settings} if plan.batch_filter.settings else {})


def _document_row(document: PreviewDocument) -> dict[str, Any]:
    return {
        "account_name": document.account_name,
        "document_type": document.document_type,
        "currency": document.currency,
        "payment_terms": document.payment_terms,
        "po_number": document.po_number,
        "lines": document.line_count,
        "net": str(rounded(document.net, document.currency)),
        "tax": str(rounded(document.tax, document.currency)),
        "total": str(rounded(document.net + document.tax, document.currency)),
    }


def nothing_to_bill(plan: BatchPlan) -> str:
    """That there is nothing to bill, and for which reasons."""
    out = ", ".join(f"{count} {reason}" for reason, count in plan.left_out.items())
    return f"nothing to bill for {plan.company.billing_company} up to {plan.cut_off}" + (
        f": {out}" if out else ": no line is open"
    )


def _counted_ids(settings: Sequence[str]) -> str:
    more = f" and {len(settings) - MOST_NAMED} more" if len(settings) > MOST_NAMED else ""
    return ", ".join(settings[:MOST_NAMED]) + more or "none"


def _short(command_id: str, letters: int = 8) -> str:
    return hashlib.sha256(command_id.encode()).hexdigest()[:letters]


HANDLERS: Mapping[type[Any], CommandHandler] = {
    HealthCheck: on_health_check,
    PreviewBatch: on_preview_batch,
    GenerateBatch: on_generate_batch,
}
SNAPSHOT = frozenset({"health-check", "preview-batch"})
