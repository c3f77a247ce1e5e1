"""Billing companies and debtors as a batch needs them: settings, tax rates, terms and buyers."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.allowances import allowance_terms
from services.invoicer.debtors.rules.companies import (
    Agreement,
    BillingCompany,
    Buyer,
    DebtorTerms,
    TaxRate,
    TermsVersion,
)
from shared.database import rows, run
from shared.stored import as_json
from shared.terms import is_agreement

_SETTINGS = ", ".join(each.name for each in fields(BillingCompany) if each.name != "agreement")
_AGREEMENT = ", ".join(Agreement._fields)
_TERMS = ", ".join(DebtorTerms._fields)


async def company_for(connection: AsyncConnection, billing_company: str) -> BillingCompany | None:
    """Return the settings of a billing company; None if it was never set up."""
    query = f"""
        SELECT {_SETTINGS} FROM fee_realizer.billing_company_settings
        WHERE billing_company = :company"""
    found = await rows(connection, query, company=billing_company)
    if not found:
        return None
    agreement = await _agreement(connection, billing_company)
    company = BillingCompany(*found[0])
    return replace(company, agreement=agreement) if agreement else company


async def _agreement(connection: AsyncConnection, billing_company: str) -> Agreement | None:
    if not is_agreement(billing_company):
        return None
    query = f"""
        SELECT {_AGREEMENT} FROM fee_realizer.self_billing
        WHERE billing_company = :company"""
    found = await rows(connection, query, company=billing_company)
    return Agreement(*found[0]) if found else None


async def suppliers_with_items(
    connection: AsyncConnection, billing_company: str
) -> dict[str, bool]:
    """Return the suppliers with open items at a billing company: whether each has an agreement."""
    query = """
        SELECT s.supplier_id, EXISTS (
          SELECT FROM fee_realizer.self_billing a
          WHERE a.billing_company = s.supplier_id || '@' || CAST(:company AS text)) AS agreed
        FROM fee_realizer.known_supplier s
        WHERE EXISTS (
          SELECT FROM invoicer.open_line o
          WHERE o.billing_company = s.supplier_id || '@' || CAST(:company AS text))
        ORDER BY s.supplier_id"""
    found = await rows(connection, query, company=billing_company)
    return {row.supplier_id: row.agreed for row in found}


async def tax_rates_for(connection: AsyncConnection, billing_company: str) -> list[TaxRate]:
    """Return every tax rate of a billing company."""
    query = """
        SELECT tax_code, from_date, percent FROM fee_realizer.company_tax_rate
        WHERE billing_company = :company ORDER BY tax_code, from_date"""
    return [TaxRate(*row) for row in await rows(connection, query, company=billing_company)]


async def debtor_terms_for(
    connection: AsyncConnection, billing_company: str, on: date
) -> dict[str, DebtorTerms]:
    """Return the terms that apply on a day, by Account Name."""
    query = f"""
        SELECT DISTINCT ON (account_name) {_TERMS} FROM invoicer.debtor_terms
        WHERE billing_company = :company AND from_date <= :on
        ORDER BY account_name, from_date DESC"""
    found = await rows(connection, query, company=billing_company, on=on)
    return {row.account_name: _terms(row) for row in found}


def _terms(row: Sequence[Any]) -> DebtorTerms:
    """Return the terms of a row with the columns `_TERMS`. Terms are compared: lists are tuples."""
    terms = DebtorTerms(*row)
    return terms._replace(
        allowances=allowance_terms(as_json(terms.allowances)),
        emails=tuple(terms.emails),
        attach=tuple(terms.attach),
    )


async def terms_versions(
    connection: AsyncConnection, billing_company: str, account_name: str
) -> list[TermsVersion]:
    """Return every version of a debtor's terms."""
    query = f"""
        SELECT from_date, {_TERMS} FROM invoicer.debtor_terms
        WHERE billing_company = :company AND account_name = :name ORDER BY from_date"""
    found = await rows(connection, query, company=billing_company, name=account_name)
    return [TermsVersion(from_date, _terms(terms)) for from_date, *terms in found]


async def save_terms(
    connection: AsyncConnection, billing_company: str, version: TermsVersion
) -> None:
    """Save a version; it replaces one with the same first day."""
    values = version.terms.values | {
        "allowances": json.dumps([each.row for each in version.terms.allowances])
    }
    given = {name: f":{name}" for name in values} | {"allowances": "CAST(:allowances AS jsonb)"}
    query = f"""
        INSERT INTO invoicer.debtor_terms
          (billing_company, account_name, from_date, {", ".join(given)})
        VALUES (:billing_company, :account_name, :from_date, {", ".join(given.values())})
        ON CONFLICT (billing_company, account_name, from_date)
          DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in given)}"""
    await run(
        connection,
        query,
        billing_company=billing_company,
        account_name=version.terms.account_name,
        from_date=version.from_date,
        **values,
    )


async def account_names(connection: AsyncConnection, billing_company: str) -> frozenset[str]:
    """Return every Account Name in the hierarchy, the company's terms or its documents."""
    query = """
        SELECT account_name FROM invoicer.billto_node WHERE account_name <> ''
        UNION SELECT account_name FROM invoicer.debtor_terms WHERE billing_company = :company
        UNION SELECT account_name FROM invoicer.invoice WHERE billing_company = :company"""
    return frozenset(row[0] for row in await rows(connection, query, company=billing_company))


async def buyers_for(connection: AsyncConnection, names: Iterable[str]) -> dict[str, Buyer]:
    """Return the buyer of each Account Name; of several nodes, the one with the lowest id."""
    query = """
        SELECT DISTINCT ON (account_name) account_name, name, address, tax_id, contact, reference
        FROM invoicer.billto_node WHERE account_name = ANY(CAST(:names AS text[]))
        ORDER BY account_name, node_id COLLATE "C" """
    found = await rows(connection, query, names=sorted(set(names)))
    return {account_name: Buyer(*buyer) for account_name, *buyer in found}
