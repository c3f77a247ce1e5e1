"""Commands that load opening data: documents of another system, and its last numbers.

They run under the exclusive lock of the billing company; documents are loaded under the locks of
their source documents and of all billing companies of these, too, as a credit by hand. A second
import of the same data changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.credits import store as credits
from services.invoicer.credits.rules import written_off
from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.debtors.rules.companies import BillingCompany, Buyer, DocumentTerms
from services.invoicer.debtors.store import companies
from services.invoicer.invoices.handlers.closing import document_totals
from services.invoicer.invoices.rules.documents import check_tax_parts
from services.invoicer.invoices.rules.numbers import OPENING_SERIES, is_new_opening_number
from services.invoicer.invoices.store import closing
from services.invoicer.invoices.store import numbers as number_store
from services.invoicer.invoices.store.closing import Batch, NumberedDocument
from services.invoicer.lines.rules import DocKey, value_of
from services.invoicer.lines.store import lines
from services.invoicer.lines.store.lines import OpenedLine
from services.invoicer.opening import store as opening
from services.invoicer.opening.rules import documents as rules
from services.invoicer.opening.rules.corrections import Corrected
from services.invoicer.opening.rules.documents import (
    NOT_REALIZED,
    Loaded,
    OpeningPayment,
    PreparedDocument,
)
from services.invoicer.settlement import store as settlement
from services.invoicer.settlement.handlers.realizations import require_locked, settle_again
from services.invoicer.settlement.rules.realizations import SettledDocument
from services.invoicer.settlement.store import SettledRealization
from shared import clock, faults
from shared.calendar import due_date
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_billto, lock_companies
from shared.errors import Refused
from shared.events.commands import LoadOpeningDocuments, OpeningDocument, SetOpeningNumber
from shared.money import ZERO
from shared.terms import counted, listed

MOST_LISTED = 100


async def on_load_opening_documents(
    connection: AsyncConnection, command: LoadOpeningDocuments
) -> Answer:
    """Close the documents that are new, and record what is paid of all of them."""
    locked = {command.billing_company} | await opening.companies_of(
        connection, command.billing_company, command.documents
    )
    await lock_billto(connection)
    await lock_companies(connection, locked, exclusive=True)
    company = await company_of(connection, command.billing_company)
    today = clock.today_of(company.time_zone)
    numbers = [each.invoice_number for each in command.documents]
    loaded = await opening.loaded_documents(connection, company.billing_company, numbers)
    new = rules.new_documents(command.documents, loaded, today)
    ids: dict[str, int] = {number: each.invoice_id for number, each in loaded.items()}
    if new:
        ids |= await _load(connection, command, company, locked, today, new)
    paid = _payments(command.documents, loaded, ids, today)
    await opening.add_payments(connection, paid)
    number_of_lines = sum(len(each.lines) for each in new)
    return Answer(
        f"{counted(len(new), 'document')} with {counted(number_of_lines, 'line')} loaded,"
        f" {len(command.documents) - len(new):,} loaded before,"
        f" {counted(len(paid), 'payment')} recorded",
        details={
            "loaded": len(new),
            "lines": number_of_lines,
            "loaded_before": len(command.documents) - len(new),
            "payments": len(paid),
        },
        subjects=[each.invoice_number for each in new[:MOST_LISTED]],
    )


async def _load(
    connection: AsyncConnection,
    command: LoadOpeningDocuments,
    company: BillingCompany,
    locked: set[str],
    today: date,
    new: Sequence[OpeningDocument],
) -> dict[str, int]:
    """Close new documents, settle their source documents again; return the ids by number.

    `locked`: the billing companies that are locked.
    """
    company = replace(company, series_prefix=OPENING_SERIES)
    series = await number_store.series_for(connection, company)
    prepared = await _prepare(connection, company, today, new)
    check_tax_parts([each.document.group for each in prepared])
    heads = await _lock_sources(connection, locked, prepared)
    await lines.add_lines(
        connection,
        [
            OpenedLine(line.document, heads[line.document].realization_no, line.new)
            for each in prepared
            for line in each.lines
        ],
        lambda line: False,
        {company.billing_company: today},
    )
    await opening.select_lines(connection, prepared)
    await faults.point("batch_selected")
    buyers = await companies.buyers_for(connection, {each.account_name for each in new})
    numbered = _numbered(prepared, series.next_number, buyers)
    batch = Batch(
        batch_id=f"opening-{closing.batch_id(today, command.command_id)}",
        company=company,
        command_id=command.command_id,
        cut_off=today,
        invoice_date=today,
        totals=document_totals([each.document for each in prepared]),
        actor=command.actor,
        reason=command.reason,
        generated_at=clock.now(),
        closed_on=today,
    )
    await closing.add_batch(connection, batch, numbered)
    invoice_ids = await closing.add_documents(connection, batch, numbered)
    await credits.add_write_offs(
        connection,
        written_off(
            (line.document, line.new.realized.line_key, value_of(line.new.realized))
            for each in prepared
            for line in each.lines
            if line.written_off
        ),
        command_id=command.command_id,
        actor=command.actor,
        reason=command.reason,
    )
    realized = {key: head for key, head in heads.items() if head.realization_no > NOT_REALIZED}
    if realized:
        await settle_again(connection, realized)
    await number_store.move_series(
        connection,
        company,
        series.next_number,
        series.next_number + len(numbered),
        rules.last_date(series, new),
    )
    return dict(zip((each.invoice_number for each in numbered), invoice_ids, strict=True))


def _numbered(
    prepared: Sequence[PreparedDocument], first_number: int, buyers: Mapping[str, Buyer]
) -> list[NumberedDocument]:
    """Return documents with their place in our series and the other system's number and date."""
    return [
        NumberedDocument(
            each.document,
            number,
            each.opening.invoice_number,
            due_date(each.opening.invoice_date, each.document.group.terms.payment_terms),
            buyers.get(each.opening.account_name, Buyer(each.opening.account_name)),
            each.opening.invoice_date,
        )
        for number, each in enumerate(prepared, start=first_number)
    ]


async def _prepare(
    connection: AsyncConnection,
    company: BillingCompany,
    today: date,
    new: Sequence[OpeningDocument],
) -> list[PreparedDocument]:
    """Return new documents as ours, under the terms that their debtors have today."""
    nodes = await opening.debtor_nodes(connection, {each.account_name for each in new})
    rules.check_debtors(new, nodes)
    own_terms = await companies.debtor_terms_for(connection, company.billing_company, today)
    corrected = await _corrected(connection, company.billing_company, new)
    prepared: list[PreparedDocument] = []
    for number, each in enumerate(new, start=1):
        own = own_terms.get(each.account_name)
        terms = DocumentTerms(
            own.tax_regime if own else "standard", own.tax_wording if own else "", ""
        )
        node = nodes[each.account_name]
        one = rules.prepare(each, number, company.billing_company, node, terms, corrected)
        for of in {line.corrects_invoice for line in one.lines if line.corrects_invoice}:
            corrected[of] = rules.after_corrections(corrected[of], one.lines)
        prepared.append(one)
    return prepared


async def _corrected(
    connection: AsyncConnection, billing_company: str, documents: Sequence[OpeningDocument]
) -> dict[str, Corrected]:
    """Return the loaded documents that these correct, by number."""
    numbers = {line.corrects_invoice for each in documents for line in each.lines} - {""}
    issued = await credits.issued_for(connection, billing_company, numbers)
    lines_of = await credits.issued_lines(connection, (each.invoice_id for each in issued.values()))
    return {
        number: Corrected(each, {line.line_no: line for line in lines_of[each.invoice_id]})
        for number, each in issued.items()
    }


async def _lock_sources(
    connection: AsyncConnection, locked: set[str], prepared: Sequence[PreparedDocument]
) -> dict[DocKey, SettledDocument]:
    """Lock the source documents; one that nothing was realized of is withheld from now on.

    Refuses source documents that a batch invoiced: their lines would count twice.
    """
    documents = {line.document for each in prepared for line in each.lines}
    added = await settlement.add_settled_documents(
        connection,
        [SettledRealization(key, NOT_REALIZED, "withheld", "") for key in sorted(documents)],
    )
    heads = {key: SettledDocument(NOT_REALIZED, "") for key in added}
    heads |= await settlement.settled_documents_for(connection, documents - added, lock=True)
    known = heads.keys() - added
    require_locked(locked, await lines.companies_of(connection, known))
    invoiced = await opening.invoiced_by_batches(connection, known)
    if invoiced:
        document_id, number = invoiced[0]
        raise Refused(
            "invoiced_already",
            f"{document_id} is on {number} already: loaded as billed, it would count twice",
            "leave its lines out, or credit the invoice first",
            documents=listed([an_id for an_id, _ in invoiced]),
        )
    return heads


def _payments(
    documents: Iterable[OpeningDocument],
    loaded: Mapping[str, Loaded],
    ids: Mapping[str, int],
    today: date,
) -> list[OpeningPayment]:
    """Return the payments to record: what is paid of a document beyond what was recorded.

    The first one has the date of the document, so that the ages of a day before the start count
    what is open now; a later one is of today.
    """
    found: list[OpeningPayment] = []
    for each in documents:
        known = loaded.get(each.invoice_number)
        difference = each.paid - (known.paid if known else ZERO)
        if difference:
            found.append(
                OpeningPayment(
                    ids[each.invoice_number],
                    known.entries + 1 if known else 1,
                    difference,
                    each.currency,
                    today if known else each.invoice_date,
                )
            )
    return found


async def on_set_opening_number(connection: AsyncConnection, command: SetOpeningNumber) -> Answer:
    """Begin a series after the last number of another system."""
    await lock_companies(connection, [command.billing_company], exclusive=True)
    company = replace(
        await company_of(connection, command.billing_company), series_prefix=command.series_prefix
    )
    series = await number_store.series_for(connection, company)
    is_new = is_new_opening_number(
        series, command.last_number, command.last_date, clock.today_of(company.time_zone)
    )
    next_number = command.last_number + 1
    if is_new:
        await number_store.move_series(
            connection, company, next_number, next_number, command.last_date
        )
    return Answer(
        f"{series.words} goes on with {series.written(next_number)}"
        + ("" if is_new else ", as it was"),
        details={
            "series": command.series_prefix,
            "next_number": next_number,
            "last_date": str(command.last_date),
        },
        subjects=[series.written(next_number)],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {
    LoadOpeningDocuments: on_load_opening_documents,
    SetOpeningNumber: on_set_opening_number,
}
