"""Loads the billing company that a command names."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.companies import BillingCompany
from services.invoicer.debtors.store import companies
from shared.errors import Refused


async def company_of(connection: AsyncConnection, billing_company: str) -> BillingCompany:
    """Return the billing company; the refusal of an unknown one says how to set it up."""
    company = await companies.company_for(connection, billing_company)
    if company is None:
        raise Refused(
            "unknown_billing_company",
            f"there is no billing company {billing_company}",
            f"set it up: `backoffice billing-company set {billing_company}`, or check the spelling",
        )
    return company
