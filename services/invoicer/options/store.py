"""Invoice options with their validity dates, and the grouping lists of client countries."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.options.rules import InvoiceOption, OptionVersion
from shared.database import rows, run

_OPTION = (
    "name, client_country, location, request_types, currency, bill_to, billing_types, max_lines,"
    " group_by, is_default, active, workflow, needs_transfer"
)
"""The columns of an option, in the order of the fields of `InvoiceOption`."""


async def has_options(connection: AsyncConnection, billing_company: str) -> bool:
    """Return whether a billing company ever had an option."""
    query = "SELECT EXISTS (SELECT FROM invoicer.invoice_option WHERE billing_company = :company)"
    ((found,),) = await rows(connection, query, company=billing_company)
    return bool(found)


async def options_for(
    connection: AsyncConnection, billing_company: str, on: date
) -> dict[str, InvoiceOption]:
    """Return the options of a billing company as they are in force on a day, by name."""
    query = f"""
        SELECT DISTINCT ON (name) {_OPTION} FROM invoicer.invoice_option
        WHERE billing_company = :company AND from_date <= :on
        ORDER BY name, from_date DESC"""
    found = await rows(connection, query, company=billing_company, on=on)
    return {row.name: _option(row) for row in found}


def _option(row: Sequence[Any]) -> InvoiceOption:
    """Return the option of a row with the columns `_OPTION`; lists become tuples."""
    values: list[Any] = [tuple(one) if isinstance(one, list) else one for one in row]
    return InvoiceOption(*values)


async def versions_of(
    connection: AsyncConnection, billing_company: str, name: str
) -> list[OptionVersion]:
    """Return every version of an option, in the order of their first days."""
    query = f"""
        SELECT from_date, {_OPTION} FROM invoicer.invoice_option
        WHERE billing_company = :company AND name = :name ORDER BY from_date"""
    found = await rows(connection, query, company=billing_company, name=name)
    return [OptionVersion(from_date, _option(option)) for from_date, *option in found]


async def save_option(
    connection: AsyncConnection, billing_company: str, version: OptionVersion
) -> None:
    """Save a version of an option; it replaces one with the same first day."""
    option = version.option
    query = """
        INSERT INTO invoicer.invoice_option
          (billing_company, name, from_date, client_country, location, request_types, currency,
           bill_to, billing_types, max_lines, group_by, is_default, active, workflow,
           needs_transfer)
        VALUES (:company, :name, :from_date, :country, :location,
          CAST(:request_types AS text[]), :currency, :bill_to, CAST(:billing_types AS text[]),
          :max_lines, CAST(:group_by AS text[]), :is_default, :active, :workflow,
          :needs_transfer)
        ON CONFLICT (billing_company, name, from_date) DO UPDATE SET
          client_country = excluded.client_country, location = excluded.location,
          request_types = excluded.request_types, currency = excluded.currency,
          bill_to = excluded.bill_to, billing_types = excluded.billing_types,
          max_lines = excluded.max_lines, group_by = excluded.group_by,
          is_default = excluded.is_default, active = excluded.active,
          workflow = excluded.workflow, needs_transfer = excluded.needs_transfer"""
    await run(
        connection,
        query,
        company=billing_company,
        name=option.name,
        from_date=version.from_date,
        country=option.country,
        location=option.location,
        request_types=list(option.request_types),
        currency=option.currency,
        bill_to=option.bill_to,
        billing_types=list(option.billing_types),
        max_lines=option.max_lines,
        group_by=None if option.group_by is None else list(option.group_by),
        is_default=option.is_default,
        active=option.active,
        workflow=option.workflow,
        needs_transfer=option.needs_transfer,
    )


async def grouping_by_country(
    connection: AsyncConnection, billing_company: str
) -> dict[str, tuple[str, ...]]:
    """Return the grouping list of each client country that has one."""
    query = """
        SELECT client_country, group_by FROM invoicer.country_grouping
        WHERE billing_company = :company ORDER BY client_country"""
    found = await rows(connection, query, company=billing_company)
    return {row.client_country: tuple(row.group_by) for row in found}


async def save_grouping(
    connection: AsyncConnection, billing_company: str, country: str, group_by: Sequence[str]
) -> None:
    """Save the grouping list of a client country; it replaces the one before."""
    await run(
        connection,
        """
        INSERT INTO invoicer.country_grouping (billing_company, client_country, group_by)
        VALUES (:company, :country, CAST(:group_by AS text[]))
        ON CONFLICT (billing_company, client_country)
          DO UPDATE SET group_by = excluded.group_by""",
        company=billing_company,
        country=country,
        group_by=list(group_by),
    )
