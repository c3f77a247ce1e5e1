"""Disputes and their entries; what credits and payments take off what is disputed."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.disputes.rules import BilledLine, Dispute
from shared.database import rows
from shared.events.commands.base import InvoicerCommand
from shared.sql import named_queries

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))


class Reduction(NamedTuple):
    """What was taken off a dispute: how much, and what is disputed now."""

    dispute_id: int
    invoice_number: str
    line_no: int
    currency: str
    taken: Decimal
    disputed: Decimal


async def line_for(
    connection: AsyncConnection, billing_company: str, number: str, line_no: int
) -> BilledLine | None:
    """Return a line of a closed document; None if there is none."""
    found = await rows(
        connection, _QUERIES["line"], company=billing_company, number=number, line_no=line_no
    )
    return BilledLine(*found[0]) if found else None


async def dispute_for(
    connection: AsyncConnection, billing_company: str, dispute_id: int | None
) -> Dispute | None:
    """Return a dispute of a billing company; None if there is none."""
    found = await rows(connection, _QUERIES["dispute"], company=billing_company, id=dispute_id)
    return Dispute(*found[0]) if found else None


async def add_dispute(
    connection: AsyncConnection,
    command: InvoicerCommand,
    billing_company: str,
    line: BilledLine,
    line_no: int,
    amount: Decimal,
    day: date,
) -> int:
    """Add an open dispute of a line; return its id."""
    (row,) = await rows(
        connection,
        _QUERIES["add_dispute"],
        company=billing_company,
        invoice=line.invoice_id,
        line_no=line_no,
        currency=line.currency,
        amount=amount,
        day=day,
        **_who(command),
    )
    return int(row.dispute_id)


async def uphold(
    connection: AsyncConnection,
    command: InvoicerCommand,
    dispute_id: int,
    amount: Decimal,
    day: date,
) -> None:
    """Uphold an amount of a dispute."""
    await _add_entries(connection, command, "upheld", [(dispute_id, amount, "")], day)


async def reduce_credited(
    connection: AsyncConnection, command: InvoicerCommand, billing_company: str, day: date
) -> list[Reduction]:
    """Take off disputes what was credited of their lines in this transaction.

    Closing filled `selected_line`; without it nothing was closed.
    """
    query = "SELECT to_regclass('pg_temp.selected_line') IS NOT NULL AS closed"
    (row,) = await rows(connection, query)
    if not row.closed or not await _any_open(connection, billing_company):
        return []
    found = await rows(connection, _QUERIES["credited"], company=billing_company)
    taken = [(each.dispute_id, each.amount, each.credit_note) for each in found]
    return [
        *await _add_entries(connection, command, "credited", taken, day),
        *await _reduce_to_left(connection, command, "credited", billing_company, day),
    ]


async def reduce_paid(
    connection: AsyncConnection, command: InvoicerCommand, billing_company: str, day: date
) -> list[Reduction]:
    """Take off disputes what is paid of their lines, so that no more is disputed than is left."""
    return await _reduce_to_left(connection, command, "paid", billing_company, day)


async def _reduce_to_left(
    connection: AsyncConnection,
    command: InvoicerCommand,
    kind: Literal["credited", "paid"],
    billing_company: str,
    day: date,
) -> list[Reduction]:
    if not await _any_open(connection, billing_company):
        return []
    found = await rows(connection, _QUERIES["beyond_what_is_left"], company=billing_company)
    taken = [(each.dispute_id, each.amount, each.credit_note) for each in found]
    return await _add_entries(connection, command, kind, taken, day)


async def _any_open(connection: AsyncConnection, billing_company: str) -> bool:
    query = """
        SELECT EXISTS (
          SELECT FROM invoicer.dispute_balance
          WHERE billing_company = :company AND disputed > 0) AS any_open"""
    (row,) = await rows(connection, query, company=billing_company)
    return bool(row.any_open)


async def _add_entries(
    connection: AsyncConnection,
    command: InvoicerCommand,
    kind: Literal["upheld", "credited", "paid"],
    taken: Sequence[tuple[int, Decimal, str]],
    day: date,
) -> list[Reduction]:
    """Add entries below zero: dispute, amount, and the number of the credit note if there is
    one.
    """
    if not taken:
        return []
    found = await rows(
        connection,
        _QUERIES["add_entries"],
        ids=[dispute_id for dispute_id, _, _ in taken],
        amounts=[amount for _, amount, _ in taken],
        notes=[credit_note for _, _, credit_note in taken],
        kind=kind,
        day=day,
        **_who(command),
    )
    return [Reduction(*row) for row in found]


def _who(command: InvoicerCommand) -> dict[str, str]:
    return {"command_id": command.command_id, "actor": command.actor, "reason": command.reason}
