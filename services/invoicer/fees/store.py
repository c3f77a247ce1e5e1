"""The fees of invoice options, their tiers, and the volume that was reached; what documents took.

`add_document_fees` writes the fees of a document by hand; those of a batch are written by
`batches.store.fees`, in SQL.
"""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.fees.rules import (
    Fee,
    FundedBy,
    IssuedFee,
    IssuedLineFee,
    Tiers,
    tiers_of,
)
from shared.database import insert_rows, rows, run
from shared.stored import as_json


async def has_fees(connection: AsyncConnection, billing_company: str) -> bool:
    """Return whether a billing company ever had a fee."""
    query = "SELECT EXISTS (SELECT FROM invoicer.fee WHERE billing_company = :company)"
    ((found,),) = await rows(connection, query, company=billing_company)
    return bool(found)


async def fees_for(
    connection: AsyncConnection, billing_company: str, funded_by: FundedBy
) -> list[Fee]:
    """Return every version of the fees that a side funds, by option and date."""
    query = """
        SELECT option_name, funded_by, from_date, charged_as, percent, tax_code, base
        FROM invoicer.fee WHERE billing_company = :company AND funded_by = :funded_by
        ORDER BY option_name, from_date"""
    found = await rows(connection, query, company=billing_company, funded_by=funded_by)
    return [Fee._make([*row[:-1], tuple(row.base)]) for row in found]


async def tiers_for(
    connection: AsyncConnection, billing_company: str, funded_by: FundedBy
) -> list[Tiers]:
    """Return every version of the tiers of the fees that a side funds."""
    query = """
        SELECT option_name, funded_by, currency, from_date, volume_of, tiers
        FROM invoicer.fee_tiers WHERE billing_company = :company AND funded_by = :funded_by
        ORDER BY option_name, currency, from_date"""
    found = await rows(connection, query, company=billing_company, funded_by=funded_by)
    return [Tiers._make([*row[:-1], tiers_of(as_json(row.tiers))]) for row in found]


async def save_fee(connection: AsyncConnection, billing_company: str, fee: Fee) -> None:
    """Save a version of a fee; it replaces one with the same first day."""
    query = """
        INSERT INTO invoicer.fee (billing_company, option_name, funded_by, from_date, charged_as,
          percent, tax_code, base)
        VALUES (:company, :option, :funded_by, :from_date, :charged_as, :percent, :tax_code,
          CAST(:base AS text[]))
        ON CONFLICT (billing_company, option_name, funded_by, from_date) DO UPDATE SET
          charged_as = excluded.charged_as, percent = excluded.percent,
          tax_code = excluded.tax_code, base = excluded.base"""
    await run(connection, query, company=billing_company, **fee._asdict() | {"base": [*fee.base]})


async def save_tiers(connection: AsyncConnection, billing_company: str, tiers: Tiers) -> None:
    """Save a version of tiers; it replaces one with the same first day."""
    await insert_rows(
        connection,
        "invoicer.fee_tiers",
        "billing_company text, option_name text, funded_by text, currency text, from_date date,"
        " volume_of text, tiers jsonb",
        [(billing_company, *tiers[:-1], json.dumps(tiers.rows))],
        replace="billing_company, option_name, funded_by, currency, from_date",
    )


async def opening_volume_on(
    connection: AsyncConnection, billing_company: str, option: str, currency: str, on_date: date
) -> Decimal | None:
    """Return the loaded volume of a day; None if there is none."""
    query = """
        SELECT amount FROM invoicer.opening_volume
        WHERE billing_company = :company AND option_name = :option AND currency = :currency
          AND on_date = :on_date"""
    key = {"company": billing_company, "option": option, "currency": currency, "on_date": on_date}
    return next((row.amount for row in await rows(connection, query, **key)), None)


async def save_opening_volume(
    connection: AsyncConnection,
    billing_company: str,
    option: str,
    currency: str,
    on_date: date,
    amount: Decimal,
) -> None:
    """Save the volume of a day that another system billed; it replaces the one before."""
    await insert_rows(
        connection,
        "invoicer.opening_volume",
        "billing_company text, option_name text, currency text, on_date date, amount numeric",
        [(billing_company, option, currency, on_date, amount)],
        replace="billing_company, option_name, currency, on_date",
    )


async def volumes(
    connection: AsyncConnection,
    billing_company: str,
    asked: Sequence[tuple[str, str, date]],
    until: date,
) -> dict[tuple[str, str, date], Decimal]:
    """Return the volume of options and currencies from a day on, `until` included."""
    if not asked:
        return {}
    query = """
        SELECT a.option_name, a.currency, a.since, coalesce(sum(v.amount), 0) AS amount
        FROM unnest(CAST(:options AS text[]), CAST(:currencies AS text[]), CAST(:since AS date[]))
          AS a(option_name, currency, since)
        LEFT JOIN invoicer.option_volume v ON v.billing_company = :company
          AND v.option_name = a.option_name AND v.currency = a.currency
          AND v.on_date BETWEEN a.since AND :until
        GROUP BY 1, 2, 3"""
    options, currencies, since = (list(each) for each in zip(*asked, strict=True))
    found = await rows(
        connection,
        query,
        company=billing_company,
        options=options,
        currencies=currencies,
        since=since,
        until=until,
    )
    return {(row.option_name, row.currency, row.since): row.amount for row in found}


async def issued_fees(connection: AsyncConnection, invoice_id: int) -> dict[int, IssuedFee]:
    """Return the fees that a closed document took, by number; to be read under the locks."""
    query = """
        SELECT f.fee_no, f.option_name, f.funded_by, f.charged_as, f.fee_from, f.percent, f.base,
          f.amount, f.line_no, coalesce(sum(r.base), 0) AS base_returned,
          coalesce(sum(r.amount), 0) AS returned
        FROM invoicer.document_fee f
        LEFT JOIN invoicer.document_fee r
          ON r.corrects_invoice_id = f.invoice_id AND r.corrects_fee_no = f.fee_no
        WHERE f.invoice_id = :id AND f.corrects_invoice_id IS NULL
        GROUP BY f.invoice_id, f.fee_no ORDER BY f.fee_no"""
    return {row.fee_no: IssuedFee(*row) for row in await rows(connection, query, id=invoice_id)}


async def issued_line_fees(
    connection: AsyncConnection, invoice_id: int
) -> dict[int, IssuedLineFee]:
    """Return what the lines of a closed document are of its fees, by line number."""
    query = """
        SELECT f.line_no, f.fee_no, f.base, f.share, coalesce(c.base, 0), coalesce(c.share, 0)
        FROM invoicer.line_fee f
        CROSS JOIN LATERAL (
          SELECT sum(r.base) AS base, sum(r.share) AS share
          FROM invoicer.pay_line e
          JOIN invoicer.invoice_line l USING (pay_line_id)
          JOIN invoicer.line_fee r ON r.invoice_id = l.invoice_id AND r.line_no = l.line_no
          WHERE e.corrects_invoice_id = f.invoice_id AND e.corrects_line_no = f.line_no) c
        WHERE f.invoice_id = :id"""
    found = await rows(connection, query, id=invoice_id)
    return {line_no: IssuedLineFee(*values) for line_no, *values in found}


async def add_returned_fees(
    connection: AsyncConnection,
    invoice_id: int,
    corrects: int,
    fees: Sequence[tuple[IssuedFee, Decimal, Decimal, int | None]],
    lines: Sequence[tuple[int, int, Decimal, Decimal]],
) -> None:
    """Add what a credit note returns of the fees of an invoice.

    `fees`: fee, base, amount and its line on the credit note, if it has one; `lines`: line of the
    credit note, number of the fee, and what the line returns of the base and of a discount.
    """
    await insert_rows(
        connection,
        "invoicer.document_fee",
        "invoice_id bigint, fee_no integer, option_name text, funded_by text, charged_as text,"
        " fee_from date, percent numeric, base numeric, amount numeric, line_no integer,"
        " corrects_invoice_id bigint, corrects_fee_no integer",
        [
            (invoice_id, *fee[:6], base, amount, line_no, corrects, fee.fee_no)
            for fee, base, amount, line_no in fees
        ],
    )
    await insert_rows(
        connection,
        "invoicer.line_fee",
        "invoice_id bigint, line_no integer, fee_no integer, base numeric, share numeric",
        [(invoice_id, *each) for each in lines],
    )
