"""Billing companies and the catalog, as the console shows them."""

from services.console.client.books import ReadConnection, Row, found
from services.console.client.figures import with_money
from shared.stored import as_json

CARD = (
    "billing_company, enabled, name, address, tax_id, bank, time_zone, currency, series_prefix, series_width, default_tax, tax_basis,"
    " default_time_group, payment_terms, approval_level"
)


async def companies(connection: ReadConnection, billing_company: str | None = None) -> list[Row]:
    """The cards of all billing companies, or of the named one, each with its taxes."""
    cards = await found(
        connection,
        f"SELECT {CARD} FROM fee_realizer.billing_company_settings WHERE CAST(:company AS text) IS NULL OR billing_company = :company ORDER BY billing_company",
        company=billing_company,
    )
    taxes = await found(
        connection,
        "SELECT billing_company, tax_code, from_date, percent FROM fee_realizer.company_tax_rate"
        " WHERE billing_company = ANY(CAST(:companies AS text[])) ORDER BY billing_company, tax_code, from_date",
        companies=[card["billing_company"] for card in cards],
    )
    for card in cards:
        own = [tax for tax in taxes if tax["billing_company"] == card["billing_company"]]
        card["taxes"] = [
            with_money({name: tax[name] for name in ("tax_code", "percent", "from_date")})
            for tax in own
        ]
    return cards


async def catalog(connection: ReadConnection) -> list[Row]:
    """Products and services with their prices."""
    rows = await found(
        connection,
        "SELECT item_id, name, item_class, family, variant, product_kind, amount, currency, percent_of_salary, plan, tax_code, version"
        " FROM fee_realizer.known_catalog_item ORDER BY item_id",
    )
    return [with_money(row, "amount") | {"plan": as_json(row["plan"])} for row in rows]
