"""What is on file about billing companies and debtors when a batch is built: cards, tax rates, terms, and who the buyer is."""

from collections.abc import Iterable
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.companies import (
    BillingCompany,
    Buyer,
    DebtorTerms,
    TaxRate,
    TermsVersion,
)
from shared.database import rows, run

SETTINGS_SQL = """
SELECT billing_company, enabled, name, address, tax_id, bank, time_zone, currency, series_prefix, series_width, default_tax, tax_basis,
       default_time_group, payment_terms, max_day_hours
FROM fee_realizer.billing_company_settings WHERE billing_company = :company"""


async def company_for(connection: AsyncConnection, billing_company: str) -> BillingCompany | None:
    """The card of a billing company; None if nobody ever set it up."""
    found = await rows(connection, SETTINGS_SQL, company=billing_company)
    return BillingCompany(*found[0]) if found else None


async def tax_rates_for(connection: AsyncConnection, billing_company: str) -> list[TaxRate]:
    """Every tax rate of a billing company."""
    query = "SELECT tax_code, from_date, percent FROM fee_realizer.company_tax_rate WHERE billing_company = :company ORDER BY tax_code, from_date"
    return [TaxRate(*row) for row in await rows(connection, query, company=billing_company)]


TERMS = "account_name, payment_terms, credits, zero_documents, tax_regime, tax_wording, tax_id, address, time_group, missing_timesheets"


async def debtor_terms_for(
    connection: AsyncConnection, billing_company: str, on: date
) -> dict[str, DebtorTerms]:
    """By Account Name, what differs for a debtor on a day."""
    query = f"""
        SELECT DISTINCT ON (account_name) {TERMS}
        FROM invoicer.debtor_terms WHERE billing_company = :company AND from_date <= :on
        ORDER BY account_name, from_date DESC"""
    return {
        row.account_name: DebtorTerms(*row)
        for row in await rows(connection, query, company=billing_company, on=on)
    }


async def terms_versions(
    connection: AsyncConnection, billing_company: str, account_name: str
) -> list[TermsVersion]:
    """Every version of a debtor's terms."""
    query = f"SELECT from_date, {TERMS} FROM invoicer.debtor_terms WHERE billing_company = :company AND account_name = :name ORDER BY from_date"
    return [
        TermsVersion(row[0], DebtorTerms(*row[1:]))
        for row in await rows(connection, query, company=billing_company, name=account_name)
    ]


async def save_terms(
    connection: AsyncConnection, billing_company: str, version: TermsVersion
) -> None:
    """Keeps a version; one with the same first day gives way."""
    names = list(version.terms.values)
    await run(
        connection,
        f"INSERT INTO invoicer.debtor_terms (billing_company, account_name, from_date, {', '.join(names)})"
        f" VALUES (:billing_company, :account_name, :from_date, {', '.join(f':{name}' for name in names)})"
        f" ON CONFLICT (billing_company, account_name, from_date) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names)}",
        billing_company=billing_company,
        account_name=version.terms.account_name,
        from_date=version.from_date,
        **version.terms.values,
    )


async def account_names(connection: AsyncConnection, billing_company: str) -> frozenset[str]:
    """Every Account Name that the hierarchy, the company's terms or its documents know."""
    query = """
        SELECT account_name FROM invoicer.billto_node WHERE account_name <> ''
        UNION SELECT account_name FROM invoicer.debtor_terms WHERE billing_company = :company
        UNION SELECT account_name FROM invoicer.invoice WHERE billing_company = :company"""
    return frozenset(row[0] for row in await rows(connection, query, company=billing_company))


async def buyers_for(connection: AsyncConnection, names: Iterable[str]) -> dict[str, Buyer]:
    """By Account Name, the details of its node; of several with one name, of the one with the lowest id."""
    query = """
        SELECT DISTINCT ON (account_name) account_name, name, address, tax_id
        FROM invoicer.billto_node WHERE account_name = ANY(CAST(:names AS text[]))
        ORDER BY account_name, node_id COLLATE "C" """
    return {
        row.account_name: Buyer(row.name, row.address, row.tax_id)
        for row in await rows(connection, query, names=sorted(set(names)))
    }
