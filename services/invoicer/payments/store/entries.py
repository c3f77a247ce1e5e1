"""Entries of payments, and the invoices that they belong to."""

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import insert_rows, rows
from shared.events.ledgers import PaymentRecorded

EntryKey = tuple[int, str, str, int]
"""Invoice, ledger, payment, number of the entry."""


async def currencies_of(connection: AsyncConnection, invoice_ids: Sequence[int]) -> dict[int, str]:
    """Return the currencies of those of the invoices that exist."""
    query = """
        SELECT invoice_id, currency FROM invoicer.invoice
        WHERE invoice_id = ANY(CAST(:ids AS bigint[]))"""
    return {row[0]: row[1] for row in await rows(connection, query, ids=sorted(set(invoice_ids)))}


async def entries_of(
    connection: AsyncConnection, invoice_ids: Sequence[int]
) -> dict[EntryKey, Decimal]:
    """Return the amounts of the stored entries of invoices."""
    query = """
        SELECT invoice_id, ledger, payment_id, entry_no, amount FROM invoicer.payment
        WHERE invoice_id = ANY(CAST(:ids AS bigint[]))"""
    found = await rows(connection, query, ids=sorted(set(invoice_ids)))
    return {(row.invoice_id, row.ledger, row.payment_id, row.entry_no): row.amount for row in found}


async def add_entries(connection: AsyncConnection, events: Sequence[PaymentRecorded]) -> None:
    """Add entries; one that another worker has added meanwhile stays as it is."""
    await insert_rows(
        connection,
        "invoicer.payment",
        "ledger text, payment_id text, invoice_id bigint, entry_no integer, amount numeric,"
        " currency text, paid_on date, remote_id text",
        [
            (
                event.ledger,
                event.payment_id,
                event.invoice_id,
                event.entry_no,
                event.amount,
                event.currency,
                event.paid_on,
                event.remote_id,
            )
            for event in events
        ],
        on_conflict="ON CONFLICT (invoice_id, ledger, payment_id, entry_no) DO NOTHING",
    )
