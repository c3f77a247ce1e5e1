"""What happens to money on documents that a command credits: `freeing` wraps the handlers that
close documents.

It runs in the transaction of the command, after its documents are closed and under its lock of the
billing company. What is credited of a disputed line takes off its dispute first, and what stays
disputed takes no money.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.disputes.handlers import with_reduced
from services.invoicer.disputes.store import reduce_credited
from services.invoicer.payments.rules.sharing import free_by_credit
from services.invoicer.payments.store import received as store
from services.invoicer.payments.store.received import Entry
from shared import clock
from shared.consumer.commands import Answer, CommandHandler
from shared.events.commands import (
    CreditInvoice,
    FinalizeDrafts,
    GenerateBatch,
    LoadOpeningDocuments,
    ResolveDispute,
    RetryParked,
)
from shared.money import ZERO, rounded

CLOSING = frozenset(
    {
        GenerateBatch,
        RetryParked,
        FinalizeDrafts,
        CreditInvoice,
        ResolveDispute,
        LoadOpeningDocuments,
    }
)
MOST_LISTED = 100


def freeing(handlers: Mapping[type[Any], CommandHandler]) -> dict[type[Any], CommandHandler]:
    """Return the handlers; those that close documents free the money that credits leave over."""
    return {
        command: partial(_then_free, handler) if command in CLOSING else handler
        for command, handler in handlers.items()
    }


async def _then_free(handler: CommandHandler, connection: AsyncConnection, command: Any) -> Answer:
    answer = await handler(connection, command)
    company = await company_of(connection, command.billing_company)
    reduced = await reduce_credited(
        connection, command, company.billing_company, clock.today_of(company.time_zone)
    )
    with_reduced(answer, reduced)
    freed = await free_credited(connection, command.billing_company)
    if freed:
        answer.details["freed"] = freed[:MOST_LISTED]
        for each in freed[:MOST_LISTED]:
            answer.message += (
                f"; {each['unapplied']} {each['currency']} of check {each['check_id']} on"
                f" {each['invoice_number']} is unapplied now"
            )
        answer.subjects = sorted(
            {*answer.subjects, *(f"check {each['check_id']}" for each in freed)}
        )
    return answer


async def free_credited(connection: AsyncConnection, billing_company: str) -> list[dict[str, Any]]:
    """Move or free the money on lines that were credited in this transaction.

    Returns the payments of which something is unapplied now, with the document and the amount.
    """
    credited = await store.credited_with_payments(connection, billing_company)
    if not credited:
        return []
    company = await company_of(connection, billing_company)
    today = clock.today_of(company.time_zone)
    documents = await store.documents_for(connection, billing_company, invoice_ids=credited)
    payments = {
        each.payment_id: each for each in await store.payments_for(connection, billing_company)
    }
    entries: list[Entry] = []
    freed: list[dict[str, Any]] = []
    for document in sorted(documents.values(), key=lambda each: each.invoice_id):
        changes = free_by_credit(document.due_values, document.payments, document.step)
        for payment_id, lines in changes.items():
            payment = payments[payment_id]
            entry = Entry(
                payment_id,
                document.invoice_id,
                document.currency,
                payment.entry_day(today),
                lines,
            )
            entries.append(entry)
            if entry.amount < ZERO:
                freed.append(
                    {
                        "check_id": payment.check_id,
                        "invoice_number": document.invoice_number,
                        "unapplied": str(rounded(-entry.amount, document.currency)),
                        "currency": document.currency,
                    }
                )
    await store.add_entries(connection, entries)
    return freed
