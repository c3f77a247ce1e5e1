"""Commands about batches: health check, preview, generate, record a download. Locks, builds, numbers, closes, answers."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.handlers.building import Built, build, buyers, judge
from services.invoicer.handlers.deciding import Wish
from services.invoicer.handlers.explain import on_explain
from services.invoicer.rules import digest, health, numbers
from services.invoicer.rules.digest import PreviewDocument
from services.invoicer.rules.narrowing import Narrowing
from services.invoicer.store import bounds, closing, downloads, parked, previews
from services.invoicer.store import numbers as series
from services.invoicer.store.closing import Batch, Numbered
from shared import faults, telemetry
from shared.calendar import due_date
from shared.clock import now
from shared.consumer.commands import Answer, Handle
from shared.consumer.protocol import MessageBuilder
from shared.database import lock_billto, lock_companies
from shared.errors import Refused
from shared.events.billing import Finding
from shared.events.commands import (
    Explain,
    GenerateBatch,
    HealthCheck,
    PreviewBatch,
    RecordDownload,
    RetryParked,
)
from shared.money import rounded
from shared.terms import counted

MOST_DOCUMENTS = 100
MOST_NAMED = 20


async def on_health_check(connection: AsyncConnection, command: HealthCheck) -> Answer:
    """Says what stands in the way of a batch, and what is in it."""
    built = await build(connection, command.billing_company, command.cut_off_date)
    found = await judge(connection, built, whole=True)
    counts = {
        severity: sum(1 for each in found if each.severity == severity)
        for severity in ("error", "warning", "info")
    }
    return Answer(
        f"{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}, {counted(counts['info'], 'note')}"
        f" about {command.billing_company} up to {built.cut_off}",
        details=about(built) | counts,
        findings=found,
    )


async def on_preview_batch(connection: AsyncConnection, command: PreviewBatch) -> Answer:
    """Stores what generate-batch would do now."""
    built = await build(
        connection, command.billing_company, command.cut_off_date, Wish(narrowing_of(command))
    )
    found = await judge(connection, built, whole=True)
    check(found)
    documents = await previews.preview_documents(connection, built.documents)
    fingerprint = digest.digest(
        command.billing_company, built.cut_off, documents, built.narrowing.written
    )
    preview = previews.Preview(f"P-{_short(command.command_id, 16)}", built.cut_off, built.settings)
    numbered = [
        (each.group.group_no, document)
        for each, document in zip(built.documents, documents, strict=True)
    ]
    await previews.add_preview(
        connection,
        preview,
        command.billing_company,
        fingerprint,
        built.totals,
        command.actor,
        numbered,
    )
    details = about(built) | {
        "preview_id": preview.preview_id,
        "digest": fingerprint,
        "listed": [_listed(each) for each in documents[:MOST_DOCUMENTS]],
    }
    message = (
        f"{counted(len(documents), 'document')} would be closed" if documents else nothing(built)
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
    built = await build(
        connection,
        command.billing_company,
        command.cut_off_date,
        Wish(narrowing_of(command), on=command.invoice_date),
        sealed=True,
    )
    found = await judge(connection, built, whole=False)
    check(found)
    await _hold_to(connection, command, built)
    return await close(
        connection,
        command,
        built,
        found,
        invoice_date=command.invoice_date,
        first_number=command.first_number,
    )


async def close(
    connection: AsyncConnection,
    command: GenerateBatch | RetryParked,
    built: Built,
    found: Sequence[Finding],
    *,
    invoice_date: date | None = None,
    first_number: int | None = None,
) -> Answer:
    """Numbers and closes what was built, under the locks under which it was built."""
    await faults.point("batch_selected")
    invoice_date = numbers.invoice_date(invoice_date, built.today, built.series)
    start = numbers.start(built.series, first_number, command.reason)
    if not built.documents:
        return Answer(
            nothing(built),
            details=about(built) | {"batch_id": None, "first_number": None, "last_number": None},
            findings=found,
        )
    batch = Batch(
        batch_id=closing.batch_id(invoice_date, command.command_id),
        company=built.company,
        command_id=command.command_id,
        cut_off=built.cut_off,
        invoice_date=invoice_date,
        totals=built.totals,
        actor=command.actor,
        reason=command.reason,
        generated_at=now(),
    )
    documents = await _numbered(connection, built, batch, start.number)
    await closing.add_batch(connection, batch, documents)
    invoice_ids = await closing.add_documents(connection, batch, documents)
    await bounds.add_workers(connection)
    if isinstance(
        command, GenerateBatch
    ):  # who is still parked after a retry stays on the list of the batch that parked him
        await parked.add_parked(connection, batch.batch_id, built.parked)
    await parked.mark_billed(
        connection, batch, {each.group.account_name for each in built.documents}
    )
    await faults.point("batch_numbered")
    if start.jump is not None:
        await series.add_jump(
            connection,
            built.company,
            start.jump,
            actor=command.actor,
            reason=command.reason,
            command_id=command.command_id,
        )
    await series.move_series(
        connection, built.company, start.number, start.number + len(documents), invoice_date
    )
    first, last = documents[0].invoice_number, documents[-1].invoice_number
    return Answer(
        f"batch {batch.batch_id}: {counted(len(documents), 'document')}, {first} to {last}",
        details=about(built)
        | {
            "batch_id": batch.batch_id,
            "invoice_date": str(invoice_date),
            "first_number": first,
            "last_number": last,
        },
        findings=found,
        subjects=[batch.batch_id, *(each.invoice_number for each in documents[:MOST_DOCUMENTS])],
        publish_after=[("batch", batch.batch_id), *closing.invoice_chunks(invoice_ids)],
    )


async def on_record_download(connection: AsyncConnection, command: RecordDownload) -> Answer:
    """Keeps that a batch was downloaded."""
    if not await downloads.add_download(connection, command):
        raise Refused(
            "no_such_batch",
            f"{command.billing_company} has no batch {command.batch_id}",
            "see `backoffice batch list`",
        )
    return Answer(
        f"batch {command.batch_id} was downloaded as {command.file_format} by {command.actor}",
        subjects=[command.batch_id],
    )


def narrowing_of(command: PreviewBatch | GenerateBatch) -> Narrowing:
    """What the operator narrows the batch to."""
    return Narrowing(
        frozenset(command.groups), frozenset(command.exclude_debtors), command.missing_timesheets
    )


def check(found: Sequence[Finding]) -> None:
    """An error about the billing company stops everything."""
    stop = health.refusal(found)
    if stop is not None:
        raise Refused(stop.code, stop.message, stop.fix)


async def _hold_to(connection: AsyncConnection, command: GenerateBatch, built: Built) -> None:
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
    documents = await previews.preview_documents(connection, built.documents)
    if (
        digest.digest(command.billing_company, built.cut_off, documents, built.narrowing.written)
        == command.digest
    ):
        return
    then = await previews.documents_of(connection, preview.preview_id)
    debtors = digest.debtors_that_differ(then, documents)
    count, line_ids = await previews.lines_that_differ(connection, preview.preview_id)
    changed = digest.changed_settings(preview.settings, built.settings)
    if preview.cut_off != built.cut_off:
        changed.append(f"cut-off: {preview.cut_off} then, {built.cut_off} now")
    raise Refused(
        "digest_differs",
        f"the batch is no longer what preview {preview.preview_id} showed: {len(debtors)} debtors differ ({', '.join(debtors[:5])}),"
        f" {count} lines came or went, changed settings: {_named(changed)}",
        "preview again, look, and cite the new digest",
        preview_id=preview.preview_id,
        debtors=debtors[:MOST_NAMED],
        debtor_count=len(debtors),
        lines=line_ids,
        line_count=count,
        settings=changed[:MOST_NAMED],
    )


async def _numbered(
    connection: AsyncConnection, built: Built, batch: Batch, first: int
) -> list[Numbered]:
    """Gives the documents their numbers, due dates and buyers."""
    company = built.company
    due = {
        terms: due_date(batch.invoice_date, terms)
        for terms in {each.group.terms.payment_terms for each in built.documents}
    }
    found = [
        Numbered(
            document,
            number,
            numbers.written(company.series_prefix, company.series_width, number),
            due[document.group.terms.payment_terms],
            buyer,
        )
        for number, (document, buyer) in enumerate(
            zip(built.documents, await buyers(connection, built), strict=True), start=first
        )
    ]
    taken = await series.taken_numbers(
        connection,
        company.billing_company,
        company.series_prefix,
        [each.invoice_number for each in found],
    )
    if taken:
        raise Refused(
            "number_used",
            f"another series of {company.billing_company} used {', '.join(taken[:MOST_NAMED])} already",
            "give the billing company another series prefix, or a first number above them",
        )
    return found


def about(built: Built) -> dict[str, Any]:
    """What every answer about a batch tells."""
    return {
        "billing_company": built.company.billing_company,
        "cut_off_date": str(built.cut_off),
        "documents": len(built.documents),
        "lines": sum(each.group.line_count for each in built.documents),
        "totals": built.totals,
        "left_out": built.left_out,
        "parked": [
            {
                "account_name": each.account_name,
                "code": each.code,
                "message": each.message,
                "ids": list(each.ids),
            }
            for each in built.parked[:MOST_NAMED]
        ],
        "parked_debtors": len(built.parked),
    } | ({"narrowed_to": built.narrowing.settings} if built.narrowing.settings else {})


def _listed(document: PreviewDocument) -> dict[str, Any]:
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


def nothing(built: Built) -> str:
    """That there is nothing to bill, and for which reasons."""
    out = ", ".join(f"{count} {reason}" for reason, count in built.left_out.items())
    return f"nothing to bill for {built.company.billing_company} up to {built.cut_off}" + (
        f": {out}" if out else ": no line is open"
    )


def _named(settings: Sequence[str]) -> str:
    more = f" and {len(settings) - MOST_NAMED} more" if len(settings) > MOST_NAMED else ""
    return ", ".join(settings[:MOST_NAMED]) + more or "none"


def _short(command_id: str, letters: int = 8) -> str:
    return hashlib.sha256(command_id.encode()).hexdigest()[:letters]


HANDLERS: Mapping[type[Any], Handle] = {
    HealthCheck: on_health_check,
    PreviewBatch: on_preview_batch,
    GenerateBatch: on_generate_batch,
    Explain: on_explain,
    RecordDownload: on_record_download,
}
MESSAGE_BUILDERS: Mapping[str, MessageBuilder] = {
    "batch": closing.say_batches,
    "invoice": closing.say_invoices,
}
SNAPSHOT = frozenset({"health-check", "preview-batch", "explain"})
