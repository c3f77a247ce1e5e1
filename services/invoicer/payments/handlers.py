"""Hears `payment-recorded`: what accounting systems booked against our invoices, entry by entry. A repeat has no effect; a reversal is negative.

The books of invoices stay as they are: a payment changes no document, only what is open of it (`invoicer.invoice_balance`).
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.payments import store as payments
from services.invoicer.payments.rules import rejection_for
from shared.broker.topics import PAYMENT_RECORDED
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied, Received, Rejection, reader
from shared.events.ledgers import PaymentRecorded


async def on_payment_recorded(
    connection: AsyncConnection, received: Sequence[Received[PaymentRecorded]]
) -> Applied:
    """Writes entries; one that names no invoice of ours, or another amount than an earlier one of its number, is set aside with a message."""
    events = [one.event for one in received]
    currencies = await payments.currencies_of(connection, [event.invoice_id for event in events])
    known = await payments.entries_of(connection, [event.invoice_id for event in events])
    new: list[PaymentRecorded] = []
    rejected = []
    for one in received:
        event = one.event
        name = (event.invoice_id, event.ledger, event.payment_id, event.entry_no)
        refusal = rejection_for(
            currencies.get(event.invoice_id), event.currency, known.get(name), event.amount
        )
        if refusal is not None:
            rejected.append((one.record, Rejection(*refusal)))
        elif name not in known:
            known[name] = event.amount
            new.append(event)
    await payments.add_entries(connection, new)
    return Applied(rejected=rejected)


SUBSCRIPTION = Subscription(
    PAYMENT_RECORDED.name, reader(PaymentRecorded), on_payment_recorded, PaymentRecorded
)
