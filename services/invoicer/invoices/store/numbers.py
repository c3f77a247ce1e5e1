"""Number series: the counter is a row that changes last in a transaction: a rollback leaves no
gap.
"""

from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.companies import BillingCompany
from services.invoicer.invoices.rules.numbers import OPENING_SERIES, NumberJump, Series
from shared.clock import now
from shared.database import rows, run


async def series_for(connection: AsyncConnection, company: BillingCompany) -> Series:
    """Return the company's series with its next number."""
    query = """
        SELECT next_number, last_date FROM invoicer.number_series
        WHERE billing_company = :company AND series = :series"""
    prefix, width = company.series_prefix, company.series_width
    found = await rows(connection, query, company=company.billing_company, series=prefix)
    return Series(prefix, width, *(found[0] if found else ()))


async def add_jump(
    connection: AsyncConnection,
    company: BillingCompany,
    jump: NumberJump,
    *,
    actor: str,
    reason: str,
    command_id: str,
) -> None:
    """Declare numbers that are skipped."""
    query = """
        INSERT INTO invoicer.number_jump (billing_company, series, from_number, to_number,
          actor, reason, command_id, jumped_at)
        VALUES (:company, :series, :first, :last, :actor, :reason, :command_id, :at)"""
    await run(
        connection,
        query,
        company=company.billing_company,
        series=company.series_prefix,
        first=jump.from_number,
        last=jump.to_number,
        actor=actor,
        reason=reason,
        command_id=command_id,
        at=now(),
    )


async def move_series(
    connection: AsyncConnection,
    company: BillingCompany,
    first_number: int,
    next_number: int,
    last_date: date,
) -> None:
    """Store the next number and the last date of a series; the last query of closing."""
    query = """
        INSERT INTO invoicer.number_series
          (billing_company, series, first_number, next_number, last_date)
        VALUES (:company, :series, :first, :next, :last_date)
        ON CONFLICT (billing_company, series)
          DO UPDATE SET next_number = excluded.next_number, last_date = excluded.last_date"""
    await run(
        connection,
        query,
        company=company.billing_company,
        series=company.series_prefix,
        first=first_number,
        next=next_number,
        last_date=last_date,
    )


async def used_numbers(
    connection: AsyncConnection, billing_company: str, prefix: str, invoice_numbers: list[str]
) -> list[str]:
    """Return those document numbers that another series of the company has used.

    Series `A1` with number 1 gives the same text as series `A` with number 11, and documents of
    opening data have the numbers of another system.
    """
    query = """
        SELECT series FROM invoicer.number_series
        WHERE billing_company = :company AND series <> :prefix
          AND (starts_with(series, :prefix) OR starts_with(:prefix, series)
            OR series = :opening)"""
    company = {"company": billing_company, "prefix": prefix}
    if not await rows(connection, query, **company, opening=OPENING_SERIES):
        return []
    query = """
        SELECT invoice_number FROM invoicer.invoice
        WHERE billing_company = :company AND invoice_number = ANY(CAST(:numbers AS text[]))
        ORDER BY 1"""
    used = await rows(connection, query, company=billing_company, numbers=invoice_numbers)
    return [row[0] for row in used]
