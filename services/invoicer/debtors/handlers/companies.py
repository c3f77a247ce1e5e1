"""Loads the billing company that a command names."""

from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.companies import BillingCompany
from services.invoicer.debtors.store import companies
from shared.errors import Refused
from shared.terms import is_agreement


def no_self_billing(billing_company: str, since: date | None = None) -> Refused:
    """Return the refusal of self-billing without an agreement, or before the day it holds from."""
    supplier_id, _, buyer = billing_company.rpartition("@")
    but = f" before {since}" if since else ""
    return Refused(
        "no_self_billing",
        f"{buyer} has no self-billing agreement with supplier {supplier_id}{but}",
        f"set it: `backoffice suppliers agreement set {supplier_id} --billing-company {buyer}"
        f"{' --from DATE' if since else ''}`",
    )


async def company_of(connection: AsyncConnection, billing_company: str) -> BillingCompany:
    """Return the billing company; the refusal of an unknown one says how to set it up."""
    company = await companies.company_for(connection, billing_company)
    if company is None and is_agreement(billing_company):
        raise no_self_billing(billing_company)
    if company is None:
        raise Refused(
            "unknown_billing_company",
            f"there is no billing company {billing_company}",
            f"set it up: `backoffice billing-company set {billing_company}`, or check the spelling",
        )
    return company


async def enabled_company_of(connection: AsyncConnection, billing_company: str) -> BillingCompany:
    """Return a billing company that may bill and credit; refuse one that is disabled."""
    company = await company_of(connection, billing_company)
    if not company.enabled:
        name = company.billing_company
        raise Refused(
            "company_disabled",
            f"billing company {name} is disabled: nothing is billed or credited for it",
            f"enable it: `backoffice billing-company set {name} --enable`",
        )
    return company
