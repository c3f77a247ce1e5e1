"""Consumes `payment-recorded`: stores what accounting systems recorded against invoices.

A repeat has no effect; a reversal is negative. A payment changes no document, only its balance
(`invoicer.invoice_balance`).
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.payments.rules.entries import rejection_for
from services.invoicer.payments.store import entries as payments
from shared.broker.topics import PAYMENT_RECORDED
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied, Received, Rejection, reader
from shared.events.ledgers import PaymentRecorded


async def on_payment_recorded(
    connection: AsyncConnection, received: Sequence[Received[PaymentRecorded]]
) -> Applied:
    """Store new entries; reject those with an unknown invoice or another amount than before."""
    invoice_ids = [message.event.invoice_id for message in received]
    currencies = await payments.currencies_of(connection, invoice_ids)
    known = await payments.entries_of(connection, invoice_ids)
    new: list[PaymentRecorded] = []
    rejected = []
    for message in received:
        event = message.event
        key = (event.invoice_id, event.ledger, event.payment_id, event.entry_no)
        rejection = rejection_for(
            currencies.get(event.invoice_id), event.currency, known.get(key), event.amount
        )
        if rejection is not None:
            rejected.append((message.record, Rejection(*rejection)))
        elif key not in known:
            known[key] = event.amount
            new.append(event)
    await payments.add_entries(connection, new)
    return Applied(rejected=rejected)


SUBSCRIPTION = Subscription(
    PAYMENT_RECORDED.name, reader(PaymentRecorded), on_payment_recorded, PaymentRecorded
)
