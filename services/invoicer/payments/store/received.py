"""Received payments: what is recorded, applied, refunded and reversed, and the lines paid."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.payments.rules.applying import PayableDocument
from services.invoicer.payments.rules.received import ReceivedPayment
from services.invoicer.payments.rules.sharing import PaidByPayment
from shared.database import insert_rows, rows
from shared.events.commands import RecordPayment
from shared.money import ZERO
from shared.sql import named_queries

LEDGER = "hand"
"""The ledger of entries of received payments; no connection may have this name."""
_QUERIES = named_queries(Path(__file__).with_name("payments.sql"))


class Entry(NamedTuple):
    """An entry of a received payment on a document: its day, and its parts by line."""

    payment_id: str
    invoice_id: int
    currency: str
    day: date
    lines: Mapping[int, Decimal]

    @property
    def amount(self) -> Decimal:
        """What the entry pays of the document; below zero it takes back."""
        return sum(self.lines.values(), ZERO)


class Return(NamedTuple):
    """What was refunded or taken back of a payment, below zero, and on which day."""

    payment_id: str
    kind: str
    amount: Decimal
    day: date


async def is_payer(connection: AsyncConnection, billing_company: str, account_name: str) -> bool:
    """Whether there is a debtor with this Account Name."""
    (row,) = await rows(
        connection, _QUERIES["is_payer"], company=billing_company, account_name=account_name
    )
    return bool(row.known)


async def payments_for(
    connection: AsyncConnection,
    billing_company: str,
    *,
    check_id: str | None = None,
    account_name: str | None = None,
    received_on: date | None = None,
) -> list[ReceivedPayment]:
    """Return received payments, the oldest deposit first; None does not limit."""
    found = await rows(
        connection,
        _QUERIES["received_payments"],
        company=billing_company,
        check_id=check_id,
        account_name=account_name,
        received_on=received_on,
    )
    return [ReceivedPayment(*row) for row in found]


async def add_payment(connection: AsyncConnection, command: RecordPayment) -> None:
    """Add a received payment under the id of its command."""
    await insert_rows(
        connection,
        "invoicer.received_payment",
        "payment_id text, billing_company text, account_name text, check_id text,"
        " received_on date, bank text, amount numeric, currency text, actor text, reason text",
        [
            (
                command.command_id,
                command.billing_company,
                command.account_name,
                command.check_id,
                command.received_on,
                command.bank,
                command.amount,
                command.currency,
                command.actor,
                command.reason,
            )
        ],
    )


async def documents_for(
    connection: AsyncConnection,
    billing_company: str,
    numbers: Iterable[str] = (),
    invoice_ids: Iterable[int] = (),
) -> dict[str, PayableDocument]:
    """Return closed documents with their lines and payments, by number."""
    heads = await rows(
        connection,
        _QUERIES["documents"],
        company=billing_company,
        numbers=sorted(set(numbers)),
        ids=sorted(set(invoice_ids)),
        ledger=LEDGER,
    )
    ids = sorted(head.invoice_id for head in heads)
    values: dict[int, dict[int, Decimal]] = {invoice_id: {} for invoice_id in ids}
    for line in await rows(connection, _QUERIES["line_values"], ids=ids) if ids else ():
        values[line.invoice_id][line.line_no] = line.value
    paid: dict[int, dict[str, dict[int, Decimal]]] = {invoice_id: {} for invoice_id in ids}
    for line in await rows(connection, _QUERIES["paid_lines"], ids=ids) if ids else ():
        paid[line.invoice_id].setdefault(line.payment_id, {})[line.line_no] = line.amount
    disputed: dict[int, dict[int, Decimal]] = {invoice_id: {} for invoice_id in ids}
    for line in await rows(connection, _QUERIES["disputed_lines"], ids=ids) if ids else ():
        disputed[line.invoice_id][line.line_no] = line.disputed
    return {
        head.invoice_number: PayableDocument(
            head.invoice_id,
            head.invoice_number,
            head.document_type,
            head.account_name,
            head.currency,
            head.invoice_date,
            values[head.invoice_id],
            head.paid_on_document,
            [PaidByPayment(*each) for each in paid[head.invoice_id].items()],
            disputed[head.invoice_id],
        )
        for head in heads
    }


async def invoices_paid_by(connection: AsyncConnection, payment_id: str) -> list[int]:
    """Return the documents on which a payment has entries."""
    query = """
        SELECT DISTINCT invoice_id FROM invoicer.payment
        WHERE ledger = :ledger AND payment_id = :payment_id ORDER BY 1"""
    found = await rows(connection, query, ledger=LEDGER, payment_id=payment_id)
    return [row.invoice_id for row in found]


async def add_entries(connection: AsyncConnection, entries: Sequence[Entry]) -> None:
    """Add entries with their parts by line; one for a payment and document."""
    if not entries:
        return
    added = await rows(
        connection,
        _QUERIES["add_entries"],
        ledger=LEDGER,
        payments=[each.payment_id for each in entries],
        invoices=[each.invoice_id for each in entries],
        amounts=[each.amount for each in entries],
        currencies=[each.currency for each in entries],
        days=[each.day for each in entries],
    )
    numbers = {(row.payment_id, row.invoice_id): row.entry_no for row in added}
    await insert_rows(
        connection,
        "invoicer.payment_line",
        "invoice_id bigint, payment_id text, entry_no integer, line_no integer, amount numeric",
        [
            (
                each.invoice_id,
                each.payment_id,
                numbers[each.payment_id, each.invoice_id],
                line_no,
                amount,
            )
            for each in entries
            for line_no, amount in sorted(each.lines.items())
        ],
    )


async def add_returns(
    connection: AsyncConnection,
    returns: Sequence[Return],
    *,
    command_id: str,
    actor: str,
    reason: str,
) -> None:
    """Add refunds or reversals, each with the next number of its payment."""
    query = """
        INSERT INTO invoicer.payment_return
          (payment_id, entry_no, kind, amount, returned_on, command_id, actor, reason)
        SELECT :payment_id, count(*) + 1, :kind, CAST(:amount AS numeric), CAST(:day AS date),
          :command_id, :actor, :reason
        FROM invoicer.payment_return WHERE payment_id = :payment_id RETURNING entry_no"""
    for each in returns:
        await rows(
            connection,
            query,
            payment_id=each.payment_id,
            kind=each.kind,
            amount=each.amount,
            day=each.day,
            command_id=command_id,
            actor=actor,
            reason=reason,
        )


async def credited_with_payments(connection: AsyncConnection, billing_company: str) -> list[int]:
    """Return the invoices that were credited in this transaction and that payments pay of.

    Closing filled `selected_line`; without it nothing was closed.
    """
    query = """
        SELECT to_regclass('pg_temp.selected_line') IS NOT NULL
          AND EXISTS (SELECT FROM invoicer.payment_line) AS any_paid"""
    (row,) = await rows(connection, query)
    if not row.any_paid:
        return []
    found = await rows(connection, _QUERIES["credited_with_payments"], company=billing_company)
    return [each.invoice_id for each in found]
