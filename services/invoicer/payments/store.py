"""Entries of payments, and the invoices that they belong to."""

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run
from shared.events.ledgers import PaymentRecorded

EntryKey = tuple[int, str, str, int]
"""Invoice, ledger, payment, number of the entry."""


async def currencies_of(connection: AsyncConnection, invoice_ids: Sequence[int]) -> dict[int, str]:
    """In which currency invoices are; those that are not there are not in it."""
    found = await rows(
        connection,
        "SELECT invoice_id, currency FROM invoicer.invoice WHERE invoice_id = ANY(CAST(:ids AS bigint[]))",
        ids=sorted(set(invoice_ids)),
    )
    return {row.invoice_id: row.currency for row in found}


async def entries_of(
    connection: AsyncConnection, invoice_ids: Sequence[int]
) -> dict[EntryKey, Decimal]:
    """The amounts of the entries that invoices have."""
    found = await rows(
        connection,
        "SELECT invoice_id, ledger, payment_id, entry_no, amount FROM invoicer.payment WHERE invoice_id = ANY(CAST(:ids AS bigint[]))",
        ids=sorted(set(invoice_ids)),
    )
    return {(row.invoice_id, row.ledger, row.payment_id, row.entry_no): row.amount for row in found}


async def add_entries(connection: AsyncConnection, events: Sequence[PaymentRecorded]) -> None:
    """Writes entries; one that another worker wrote meanwhile stays as it is."""
    if not events:
        return
    await run(
        connection,
        "INSERT INTO invoicer.payment (ledger, payment_id, invoice_id, entry_no, amount, currency, paid_on, remote_id)"
        " SELECT * FROM unnest(CAST(:ledgers AS text[]), CAST(:payments AS text[]), CAST(:invoices AS bigint[]), CAST(:entries AS integer[]),"
        "   CAST(:amounts AS numeric[]), CAST(:currencies AS text[]), CAST(:days AS date[]), CAST(:remotes AS text[]))"
        " ON CONFLICT (invoice_id, ledger, payment_id, entry_no) DO NOTHING",
        ledgers=[event.ledger for event in events],
        payments=[event.payment_id for event in events],
        invoices=[event.invoice_id for event in events],
        entries=[event.entry_no for event in events],
        amounts=[event.amount for event in events],
        currencies=[event.currency for event in events],
        days=[event.paid_on for event in events],
        remotes=[event.remote_id for event in events],
    )
