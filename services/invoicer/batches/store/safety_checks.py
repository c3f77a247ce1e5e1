"""Finds the workdays in a batch that break a safety rule.

Every line is read once and in few columns; only what may break a rule is read in detail.
`suspect_days` holds the workers and spans of days whose lines come from several documents or
requirements, or whose most hours of a day add up to more than the limit. Only for these days the
settled realization of each document is read, day by day (`worked_time`).

A batch is compared with itself and with what is invoiced for the same weeks: closed documents are
found by their service period and by their workers, never by reading all pay lines. A correction of
an invoiced line widens no search, because its original was compared before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.health_snapshot import MOST_IDS, NONE, CountedIds
from services.invoicer.batches.rules.safety_checks import SafetyViolation, UnsafeDebtor
from shared.database import rows, run
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_name("safety_checks.sql"))
BATCH_TIME = QUERIES["batch_time"]
ALL_TIME = QUERIES["all_time"].format(batch_time=BATCH_TIME)
NO_ROWS = " LIMIT 0"


@dataclass(frozen=True, slots=True)
class SafetyResult:
    """The debtors whose lines break a rule, and workers' days on several requirements."""

    unsafe: Sequence[UnsafeDebtor] = ()
    double_days: CountedIds = NONE


async def find_unsafe_debtors(
    connection: AsyncConnection, billing_company: str, max_hours: int
) -> SafetyResult:
    """Check the lines that are in. Call it after `select_lines`."""
    await run(connection, QUERIES["batch_weeks"])
    weeks = await rows(
        connection, "SELECT extract(isodow FROM week_ending) AS day, irregular FROM batch_week"
    )
    if not weeks:
        return SafetyResult()
    invoices = await _find_shared_worker_invoices(connection, billing_company)
    await run(connection, QUERIES["invoiced_time"] + ("" if invoices else NO_ROWS))
    by_week = not any(week.irregular for week in weeks) and len({week.day for week in weeks}) == 1
    if by_week and invoices:
        ((by_week,),) = await rows(connection, QUERIES["invoiced_by_week"], day=weeks[0].day)
    suspect_days = QUERIES["suspect_days_by_week" if by_week else "suspect_days_by_span"].format(
        lines=ALL_TIME if invoices else BATCH_TIME, is_suspect=QUERIES["is_suspect"]
    )
    await run(connection, suspect_days, max_hours=max_hours)
    ((suspects,),) = await rows(connection, "SELECT count(*) FROM suspect_days")
    if not suspects:
        return SafetyResult()
    await run(connection, "ANALYZE suspect_days")
    await run(connection, QUERIES["worked_time"].format(lines=ALL_TIME), company=billing_company)
    await run(connection, "ANALYZE worked_time")
    await run(connection, QUERIES["safety_violations"], max_hours=max_hours)
    await run(connection, "ANALYZE safety_violation")
    double_days = await rows(connection, QUERIES["double_days"], most=MOST_IDS)
    return SafetyResult(
        [
            UnsafeDebtor(
                row.debtor_no,
                row.code,
                row.days,
                SafetyViolation(
                    row.code,
                    row.worker_id,
                    row.day,
                    row.requirement_id,
                    row.time_type,
                    Decimal(row.hours),
                    tuple(sorted(row.document_ids)),
                ),
                tuple(row.all_ids or ()),
            )
            for row in await rows(connection, QUERIES["unsafe_debtors"], most=MOST_IDS)
        ],
        CountedIds.of(double_days),
    )


async def _find_shared_worker_invoices(connection: AsyncConnection, billing_company: str) -> int:
    """Return how many closed documents may share a worker's day with the batch."""
    if await run(connection, QUERIES["nearby_invoices"], company=billing_company):
        await run(connection, "ANALYZE nearby_invoice")
    invoices = await run(connection, QUERIES["shared_worker_invoices"])
    if invoices:
        await run(connection, "ANALYZE shared_worker_invoice")
    return invoices


async def add_document_workers(connection: AsyncConnection) -> None:
    """Store the workers of the documents that were just closed."""
    await run(connection, QUERIES["add_document_workers"])
