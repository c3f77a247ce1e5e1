"""Run the checks on one snapshot and build the report."""

from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.calendar import due_date
from shared.database import rows
from shared.money import minor_unit
from shared.verify.checks import CHECKS, DUE_DATE_COMBINATIONS, IN_FLIGHT, TO_BE_PRICED, Check
from shared.verify.report import Fault, Offender, Report

OFFENDERS_SHOWN = 100
LOOKED_AT = {
    "documents": "invoicer.settled_document",
    "pay_lines": "invoicer.pay_line",
    "open_lines": "invoicer.open_line",
    "invoices": "invoicer.invoice",
    "invoice_lines": "invoicer.invoice_line",
    "batches": "invoicer.batch",
}


async def verify(connection: AsyncConnection, in_flight_minutes: int = 5) -> Report:
    """Run all checks in one snapshot, under the login `auditor`.

    `connection` must not have run a query in its transaction yet. A realization that was issued and
    not settled is in flight. It is a fault when it is older than `in_flight_minutes`, and so is a
    document that has waited longer than that to be priced again.
    """
    await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    await connection.execute(text("SET LOCAL work_mem = '256MB'"))
    given = await parameters(connection, in_flight_minutes)
    faults = [fault for check in CHECKS if (fault := await _ask(connection, check, given))]
    number, in_flight = await _first(connection, IN_FLIGHT, {"minutes": 0})
    unpriced, _ = await _first(connection, TO_BE_PRICED, {"minutes": 0})
    looked_at = {
        name: int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)
        for name, table in LOOKED_AT.items()
    }
    return Report(
        tuple(faults),
        in_flight,
        number,
        looked_at,
        tuple(check.name for check in CHECKS),
        to_be_priced_count=unpriced,
    )


async def parameters(connection: AsyncConnection, in_flight_minutes: int = 5) -> dict[str, Any]:
    """Return what the checks ask for by name, and what only Python knows, such as due dates."""
    return {
        "minutes": in_flight_minutes,
        **await _currencies(connection),
        **await _wrong_terms(connection),
    }


async def _ask(connection: AsyncConnection, check: Check, given: dict[str, Any]) -> Fault | None:
    number, offenders = await _first(
        connection,
        check.sql,
        {name: value for name, value in given.items() if f":{name}" in check.sql},
    )
    return Fault(check.name, check.message, number, offenders) if offenders else None


async def _first(
    connection: AsyncConnection, sql: str, given: dict[str, Any]
) -> tuple[int, tuple[Offender, ...]]:
    """Return how many rows a query has, and the first of them."""
    found = await rows(
        connection,
        f"SELECT id, detail, count(*) OVER () AS number FROM ({sql}) AS found"
        " ORDER BY id, detail LIMIT :most",
        most=OFFENDERS_SHOWN,
        **given,
    )
    return (found[0].number if found else 0), tuple(Offender(row.id, row.detail) for row in found)


async def _currencies(connection: AsyncConnection) -> dict[str, Any]:
    """Return the decimals of each stored currency: Python knows them, SQL needs them."""
    found = await rows(
        connection,
        "SELECT currency FROM invoicer.pay_line GROUP BY 1"
        " UNION SELECT currency FROM invoicer.invoice GROUP BY 1 ORDER BY 1",
    )
    return {
        "currencies": [row.currency for row in found],
        "places": [-int(minor_unit(row.currency).as_tuple().exponent) for row in found],
    }


async def _wrong_terms(connection: AsyncConnection) -> dict[str, Any]:
    """Return combinations of payment terms, invoice date and due date that break the rule."""
    wrong = [
        row
        for row in await rows(connection, DUE_DATE_COMBINATIONS)
        if not _goes_together(row.payment_terms, row.invoice_date, row.due_date)
    ]
    return {
        "terms": [row.payment_terms for row in wrong],
        "dates": [row.invoice_date for row in wrong],
        "due": [row.due_date for row in wrong],
    }


def _goes_together(terms: str, invoice_date: date, due: date) -> bool:
    try:
        return due_date(invoice_date, terms) == due
    except ValueError:
        return False
