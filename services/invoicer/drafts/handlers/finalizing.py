"""Handles the command `finalize-drafts`: only here does a draft get a number.

The documents close with the code that closes those of a batch. Nothing of the version that was
approved changes: number, invoice date and due date are set.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.build_batch import buyers_of
from services.invoicer.batches.rules import safety_checks
from services.invoicer.batches.store import parked
from services.invoicer.batches.store import safety_checks as safety_store
from services.invoicer.batches.store import selection as batch_selection
from services.invoicer.debtors.handlers.companies import enabled_company_of
from services.invoicer.debtors.rules.companies import BillingCompany
from services.invoicer.debtors.store import companies
from services.invoicer.drafts.handlers.changing import locked_drafts
from services.invoicer.drafts.handlers.making import MOST_LISTED
from services.invoicer.drafts.handlers.terms_now import outdated
from services.invoicer.drafts.rules.invoicing_status import PROCESSED
from services.invoicer.drafts.rules.names import read_reference
from services.invoicer.drafts.store import drafts as store
from services.invoicer.drafts.store import selection
from services.invoicer.drafts.store.drafts import Draft, DraftEvent
from services.invoicer.invoices.handlers.closing import (
    ClosedDocuments,
    close_documents,
    plan_numbering,
    take_numbers,
)
from services.invoicer.invoices.rules.documents import Document, Group, in_number_order
from services.invoicer.invoices.store import numbers
from services.invoicer.settlement.store import note_ended_citations
from shared import clock, faults, telemetry
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import FinalizeDrafts
from shared.money import rounded
from shared.terms import counted, listed

MOST_NAMED = 5


async def on_finalize_drafts(connection: AsyncConnection, command: FinalizeDrafts) -> Answer:
    """Number and close drafts as one batch, each in the version that the command cites."""
    with telemetry.BATCH_SECONDS.time():
        names = [each.draft for each in command.drafts]
        drafts = await locked_drafts(connection, command.billing_company, names, "finalize")
        _require_versions(command, drafts)
        company = await enabled_company_of(connection, command.billing_company)
        today = clock.today_of(company.time_zone)
        series = await numbers.series_for(connection, company)
        numbering = plan_numbering(series, today, command.invoice_date, reason=command.reason)
        await selection.select_drafts(connection, drafts, with_digests=True)
        groups = await selection.groups_of(connection, drafts)
        await _require_current(connection, company, drafts, groups, numbering.invoice_date)
        await _require_safe(connection, company)
        documents = in_number_order(
            Document(groups[each.draft_id], each.document_type, each.tax_basis)
            for each in drafts.values()
        )
        await faults.point("batch_selected")
        own_terms = await companies.debtor_terms_for(
            connection, company.billing_company, numbering.invoice_date
        )
        in_order = [each.group for each in documents]
        closed = await close_documents(
            connection,
            command,
            company,
            max(each.cut_off for each in drafts.values()),
            numbering,
            documents,
            await buyers_of(connection, company, in_order, own_terms),
        )
        await selection.finish_lines(connection)
        invoice_ids = dict(
            zip((each.group_no for each in in_order), closed.invoice_ids, strict=True)
        )
        await store.save_processed(connection, invoice_ids)
        await _add_events(connection, command, drafts, closed)
        await note_ended_citations(
            connection,
            await batch_selection.documents_to_note(connection, company.billing_company),
        )
        await safety_store.add_document_workers(connection)
        await parked.mark_billed(
            connection, closed.batch, {each.account_name for each in drafts.values()}
        )
        await faults.point("batch_numbered")
        await take_numbers(connection, closed)
        return _answer(drafts, closed)


def _require_versions(command: FinalizeDrafts, drafts: Mapping[int, Draft]) -> None:
    """Refuse drafts that are in another version than the sender has seen."""
    cited = {read_reference(each.draft).draft_id: each.version for each in command.drafts}
    changed = [
        f"{draft.name} is version {draft.version}, not {cited[draft_id]}"
        for draft_id, draft in drafts.items()
        if draft.version != cited[draft_id]
    ]
    if changed:
        raise Refused(
            "draft_changed",
            f"{listed(changed[:MOST_NAMED])}: changed since it was looked at",
            "look at it again with `backoffice drafts show ID`, and finalize that version",
        )


async def _require_current(
    connection: AsyncConnection,
    company: BillingCompany,
    drafts: Mapping[int, Draft],
    groups: Mapping[int, Group],
    invoice_date: date,
) -> None:
    """Refuse drafts that would be different if they were made now."""
    found = await outdated(connection, company, drafts, groups, invoice_date)
    if found:
        says = [f"{drafts[draft_id].name}: {listed(why)}" for draft_id, why in found.items()]
        raise Refused(
            "draft_outdated",
            f"{counted(len(found), 'draft')} would be different today:"
            f" {'; '.join(says[:MOST_NAMED])}",
            "compute it again: `backoffice drafts regenerate ID`",
            drafts=[drafts[draft_id].name for draft_id in found][:MOST_LISTED],
        )


async def _require_safe(connection: AsyncConnection, company: BillingCompany) -> None:
    """Refuse drafts that bill time which was invoiced since, or too many hours of a day."""
    max_hours = company.max_day_hours
    safety = await safety_store.find_unsafe_debtors(connection, company.billing_company, max_hours)
    if safety.unsafe:
        names = await selection.debtor_names(connection)
        unsafe = safety_checks.parked(safety.unsafe, names, max_hours)
        raise Refused(
            "draft_unsafe",
            f"a draft of {unsafe[0].account_name} would bill time wrongly: {unsafe[0].message}",
            "remove the line: `backoffice drafts remove-line ID --line N`, or correct the"
            " timesheet",
        )


async def _add_events(
    connection: AsyncConnection,
    command: FinalizeDrafts,
    drafts: Mapping[int, Draft],
    closed: ClosedDocuments,
) -> None:
    at = clock.now()
    await store.add_events(
        connection,
        [
            DraftEvent(
                each.document.group.group_no,
                "finalized",
                drafts[each.document.group.group_no].version,
                PROCESSED,
                command.actor,
                at,
                command.reason,
                changes_items=False,
                details={"invoice_number": each.invoice_number, "batch_id": closed.batch.batch_id},
                command_id=command.command_id,
            )
            for each in closed.documents
        ],
    )


def _answer(drafts: Mapping[int, Draft], closed: ClosedDocuments) -> Answer:
    batch, documents = closed.batch, closed.documents
    first, last = documents[0].invoice_number, documents[-1].invoice_number
    return Answer(
        f"batch {batch.batch_id}: {counted(len(documents), 'document')},"
        f" {first if first == last else f'{first} to {last}'}",
        details={
            "batch_id": batch.batch_id,
            "invoice_date": str(batch.invoice_date),
            "first_number": first,
            "last_number": last,
            "documents": len(documents),
            "totals": list(batch.totals),
            "listed": _rows(drafts, closed)[:MOST_LISTED],
        },
        subjects=[
            batch.batch_id,
            *(each.name for each in list(drafts.values())[:MOST_LISTED]),
            *(each.invoice_number for each in documents[:MOST_LISTED]),
        ],
        publish_after=closed.outbox_ids,
    )


def _rows(drafts: Mapping[int, Draft], closed: ClosedDocuments) -> Sequence[dict[str, str]]:
    return [
        {
            "draft": drafts[each.document.group.group_no].name,
            "invoice_number": each.invoice_number,
            "account_name": each.document.group.account_name,
            "currency": each.document.group.currency,
            "total": str(
                rounded(
                    each.document.group.net + each.document.group.tax,
                    each.document.group.currency,
                )
            ),
            "due_date": str(each.due_date),
        }
        for each in closed.documents
    ]


HANDLERS: dict[type, CommandHandler] = {FinalizeDrafts: on_finalize_drafts}
