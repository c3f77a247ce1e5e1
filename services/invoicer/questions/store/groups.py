"""Adds up what each debtor has open for a cut-off: by kind of timesheet and by currency."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from shared.database import rows
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_name("groups.sql"))
KEPT_BACK = (reasons.DEBTOR_PARKED, reasons.WAITS_FOR_TIMESHEETS, reasons.ZERO_TOTAL)
COUNTED = [reasons.IN, *map(reasons.number, KEPT_BACK)]
"""What is in, and what would be in but for its debtor or its total."""


@dataclass(frozen=True, slots=True)
class DebtorAmount:
    """Net of a debtor's lines in one currency: `net` of those that are in, `kept` of the others.

    `hours`: of those that are in.
    """

    currency: str
    lines: int
    net: Decimal
    kept: Decimal
    hours: Decimal


@dataclass(frozen=True, slots=True)
class DebtorCounts:
    """Timesheets of the cycle, late ones and corrections (numbers of documents), product lines."""

    timesheets: int = 0
    late: int = 0
    corrections: int = 0
    products: int = 0


async def counts_by_debtor(connection: AsyncConnection) -> dict[int, DebtorCounts]:
    """Return the counts by the number of the debtor in the selection."""
    found = await rows(connection, QUERIES["counts_by_debtor"], counted=COUNTED)
    return {row.debtor_no: DebtorCounts(*row[1:]) for row in found}


async def amounts_by_debtor(connection: AsyncConnection) -> dict[int, list[DebtorAmount]]:
    """Return the amounts by the number of the debtor in the selection, sorted by currency."""
    amounts: dict[int, list[DebtorAmount]] = {}
    for row in await rows(connection, QUERIES["amounts_by_debtor"], counted=COUNTED):
        amounts.setdefault(row.debtor_no, []).append(DebtorAmount(*row[1:]))
    return amounts
