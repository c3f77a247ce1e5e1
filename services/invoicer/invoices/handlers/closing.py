"""Numbers and closes documents, for batches and for credit notes.

The caller holds the exclusive lock of the billing company and has filled the temporary tables that
`invoices.store.closing` reads. It calls `take_numbers` last: the counter of the series must be the
last row that the transaction changes.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.companies import BillingCompany, Buyer
from services.invoicer.invoices.rules import numbers
from services.invoicer.invoices.rules.documents import Document, check_tax_parts
from services.invoicer.invoices.rules.numbers import NumberingStart, Series
from services.invoicer.invoices.rules.totals import totals
from services.invoicer.invoices.store import closing, messages
from services.invoicer.invoices.store import numbers as number_store
from services.invoicer.invoices.store.closing import Batch, NumberedDocument
from shared.calendar import due_date
from shared.clock import now, today_of
from shared.consumer.records import OutboxId
from shared.errors import Refused
from shared.events.commands import CreditInvoice, FinalizeDrafts, GenerateBatch, RetryParked

MOST_NAMED = 20


class Numbering(NamedTuple):
    """The date of the documents and the number of the first one."""

    invoice_date: date
    start: NumberingStart


class ClosedDocuments(NamedTuple):
    """A stored batch, with its documents and their ids."""

    batch: Batch
    start: NumberingStart
    documents: Sequence[NumberedDocument]
    invoice_ids: Sequence[int]

    @property
    def outbox_ids(self) -> list[OutboxId]:
        """The ids of the messages to publish about them."""
        return [("batch", self.batch.batch_id), *messages.invoice_chunks(self.invoice_ids)]


def document_totals(documents: Sequence[Document]) -> list[dict[str, Any]]:
    """Return the totals of documents per currency, as they are stored and published."""
    groups = [each.group for each in documents]
    sums = totals((group.currency, group.line_count, group.net, group.tax) for group in groups)
    return [each.row for each in sums]


def plan_numbering(
    series: Series,
    today: date,
    invoice_date: date | None,
    first_number: int | None = None,
    reason: str = "",
) -> Numbering:
    """Check the date and first number that an operator requests, or choose them."""
    return Numbering(
        numbers.invoice_date(invoice_date, today, series),
        numbers.first_number(series, first_number, reason),
    )


async def close_documents(
    connection: AsyncConnection,
    command: GenerateBatch | RetryParked | FinalizeDrafts | CreditInvoice,
    company: BillingCompany,
    cut_off: date,
    numbering: Numbering,
    documents: Sequence[Document],
    buyers: Sequence[Buyer],
    *,
    chosen: Mapping[str, Any] | None = None,
) -> ClosedDocuments:
    """Number documents, set their due dates and buyers, and store them as one batch.

    `chosen`: what the batch is limited to, by name (`BatchFilter.chosen`); empty: nothing.
    """
    check_tax_parts([each.group for each in documents])
    batch = Batch(
        batch_id=closing.batch_id(numbering.invoice_date, command.command_id),
        company=company,
        command_id=command.command_id,
        cut_off=cut_off,
        invoice_date=numbering.invoice_date,
        totals=document_totals(documents),
        actor=command.actor,
        reason=command.reason,
        generated_at=now(),
        closed_on=today_of(company.time_zone),
        chosen=chosen or {},
    )
    due = {
        terms: due_date(batch.invoice_date, terms)
        for terms in {each.group.terms.payment_terms for each in documents}
    }
    numbered = [
        NumberedDocument(
            document,
            number,
            numbers.format_number(company.series_prefix, company.series_width, number),
            due[document.group.terms.payment_terms],
            buyer,
            batch.invoice_date,
            command.reason if isinstance(command, CreditInvoice) else None,
        )
        for number, (document, buyer) in enumerate(
            zip(documents, buyers, strict=True), start=numbering.start.number
        )
    ]
    used = await number_store.used_numbers(
        connection,
        company.billing_company,
        company.series_prefix,
        [each.invoice_number for each in numbered],
    )
    if used:
        raise Refused(
            "number_used",
            f"another series of {company.billing_company} used {', '.join(used[:MOST_NAMED])}"
            " already",
            "give the billing company another series prefix, or a first number above them",
        )
    await closing.add_batch(connection, batch, numbered)
    invoice_ids = await closing.add_documents(connection, batch, numbered)
    return ClosedDocuments(batch, numbering.start, numbered, invoice_ids)


async def take_numbers(connection: AsyncConnection, closed: ClosedDocuments) -> None:
    """Take the numbers of the documents from the series, and declare a jump before them."""
    batch, start = closed.batch, closed.start
    if start.jump is not None:
        await number_store.add_jump(
            connection,
            batch.company,
            start.jump,
            actor=batch.actor,
            reason=batch.reason,
            command_id=batch.command_id,
        )
    next_number = start.number + len(closed.documents)
    await number_store.move_series(
        connection, batch.company, start.number, next_number, batch.invoice_date
    )
