"""Billing companies, their local dates, and the catalog."""

from datetime import date

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import ReadConnection, Row, fetch
from shared.calendar import local_date
from shared.clock import date_in_place_of_today
from shared.stored import as_json


async def companies(connection: ReadConnection, billing_company: str | None = None) -> list[Row]:
    """The settings of all billing companies, or of the named one, each with its taxes."""
    rows = await fetch(
        connection,
        "SELECT * FROM fee_realizer.console_billing_company"
        " WHERE CAST(:company AS text) IS NULL OR billing_company = :company ORDER BY"
        " billing_company",
        company=billing_company,
    )
    taxes = await fetch(
        connection,
        "SELECT billing_company, tax_code, percent, from_date FROM fee_realizer.console_tax_rate"
        " WHERE billing_company = ANY(CAST(:companies AS text[])) ORDER BY billing_company,"
        " tax_code, from_date",
        companies=[row["billing_company"] for row in rows],
    )
    for row in rows:
        row["taxes"] = []
    by_company = {row["billing_company"]: row["taxes"] for row in rows}
    for tax in taxes:
        by_company[tax.pop("billing_company")].append(with_money(tax))
    return rows


async def iif_accounts(connection: ReadConnection, billing_company: str) -> list[str]:
    """The billing company's revenue account and item as an IIF file names them: key=name, where it
    has one.
    """
    rows = await fetch(
        connection,
        "SELECT default_account AS income, default_item AS item"
        " FROM fee_realizer.console_billing_company WHERE billing_company = :company",
        company=billing_company,
    )
    return [f"{key}={name}" for row in rows for key, name in row.items() if name]


async def company_names(connection: ReadConnection) -> dict[str, str]:
    """The name of each billing company."""
    rows = await fetch(
        connection,
        "SELECT billing_company, name FROM fee_realizer.console_billing_company ORDER BY 1",
    )
    return {row["billing_company"]: row["name"] or row["billing_company"] for row in rows}


async def companies_today(
    connection: ReadConnection, billing_company: str | None = None
) -> dict[str, date]:
    """Each known billing company with its local date; only the named one (in UTC if it is
    unknown) if one is named.

    The date is that of the database: the one that the workers use in place of today, else the local
    date at the instant of the database. The settings of this process count only while no worker has
    started on the database.
    """
    (at,) = await fetch(connection, "SELECT * FROM fee_realizer.console_business_date")
    stated = at["today"] if at["recorded"] else date_in_place_of_today()

    def today(time_zone: str) -> date:
        return stated or local_date(at["instant"], time_zone)

    rows = await fetch(
        connection,
        "SELECT billing_company, time_zone FROM fee_realizer.console_billing_company"
        " WHERE CAST(:company AS text) IS NULL OR billing_company = :company ORDER BY 1",
        company=billing_company,
    )
    unknown = {} if billing_company is None else {billing_company: today("UTC")}
    return unknown | {row["billing_company"]: today(row["time_zone"]) for row in rows}


async def catalog(
    connection: ReadConnection,
    item_class: str | None = None,
    family: str | None = None,
    product_kind: str | None = None,
) -> list[Row]:
    """Products and services with their prices, in the order of the tree."""
    rows = await fetch(
        connection,
        "SELECT * FROM fee_realizer.console_catalog_item"
        " WHERE (CAST(:item_class AS text) IS NULL OR item_class = :item_class)"
        " AND (CAST(:family AS text) IS NULL OR family = :family)"
        " AND (CAST(:product_kind AS text) IS NULL OR product_kind = :product_kind)"
        " ORDER BY item_class, family, variant, item_id",
        item_class=item_class,
        family=family,
        product_kind=product_kind,
    )
    return [
        with_money(row, "amount")
        | {"plan": as_json(row["plan"]), "guarantee": as_json(row["guarantee"])}
        for row in rows
    ]
