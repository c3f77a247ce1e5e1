"""The terms of debtors as they are now, compared with those that drafts were made with."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.grouping import document_terms
from services.invoicer.batches.store.decisions import add_rates
from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.debtors.rules.allowances import in_order
from services.invoicer.debtors.rules.companies import BillingCompany, DebtorTerms, DocumentTerms
from services.invoicer.debtors.store import companies
from services.invoicer.drafts.store import drafts as store
from services.invoicer.drafts.store import lines, selection
from services.invoicer.drafts.store.drafts import Draft
from services.invoicer.invoices.rules.documents import Group
from services.invoicer.invoices.rules.totals import tax_spans
from shared import clock
from shared.errors import Refused
from shared.money import plain


async def with_terms_now(
    connection: AsyncConnection, billing_company: str, drafts: Mapping[int, Draft]
) -> dict[int, Draft]:
    """Return drafts with the terms of their debtors as they are today, and store them.

    Credits keep the terms of what they correct: a draft of credits only stays as it is, and one
    that nets credits with debits is refused, because with other terms they are two documents.
    """
    company = await company_of(connection, billing_company)
    today = clock.today_of(company.time_zone)
    own_terms = await companies.debtor_terms_for(connection, billing_company, today)
    found, kinds = {}, await lines.kinds_of_lines(connection, drafts)
    for draft_id, draft in drafts.items():
        now = terms_now(draft, company, own_terms)
        has = kinds.get(draft_id, lines.LineKinds())
        if not has.debits or not _differences(draft, now):
            found[draft_id] = draft
            continue
        if has.credits and _splits(draft, now):
            raise Refused(
                "terms_differ",
                f"draft {draft.name} nets credits with items, and the terms of"
                f" {draft.account_name} are others now: these are two documents",
                f"cancel it, and make drafts again: `backoffice drafts cancel {draft.name}`",
            )
        found[draft_id] = replace(draft, **now)
        await store.save_terms(connection, found[draft_id])
    return found


def terms_now(
    draft: Draft, company: BillingCompany, own_terms: Mapping[str, DebtorTerms]
) -> dict[str, Any]:
    """Return the fields of a draft that follow from the terms of its debtor, as they are now."""
    own = own_terms.get(draft.account_name)
    terms = document_terms(own or DebtorTerms("", company.payment_terms), company)
    had = {row["name"] for row in draft.allowance_terms if row["amount"] is not None}
    return {
        "payment_terms": terms.payment_terms,
        "tax_regime": terms.tax_regime,
        "tax_wording": terms.tax_wording,
        "allowance_terms": [
            term.row
            for term in in_order(own.allowances if own else ())
            if term.currency in ("", draft.currency) and (term.amount is None or term.name in had)
        ],
    }


def _splits(draft: Draft, now: Mapping[str, Any]) -> bool:
    """Return whether lines with the terms of now are on another document."""
    return any(getattr(draft, name) != now[name] for name in DocumentTerms._fields)


def _differences(draft: Draft, now: Mapping[str, Any]) -> list[str]:
    words = {
        "payment_terms": "payment terms",
        "tax_regime": "tax regime",
        "tax_wording": "tax wording",
        "allowance_terms": "discounts and surcharges",
    }
    return [words[name] for name, value in now.items() if getattr(draft, name) != value]


async def outdated(
    connection: AsyncConnection,
    company: BillingCompany,
    drafts: Mapping[int, Draft],
    groups: Mapping[int, Group],
    on: date,
) -> dict[int, list[str]]:
    """Return what would be different in drafts if they were made now, by draft id, in words.

    The lines of the drafts are selected (`store.selection`).
    """
    found: dict[int, list[str]] = {}
    own_terms = await companies.debtor_terms_for(connection, company.billing_company, on)
    for draft_id, draft in drafts.items():
        group = groups[draft_id]
        if group.credit_count < group.line_count:
            differing = _differences(draft, terms_now(draft, company, own_terms))
            if differing:
                found[draft_id] = [f"{name} of {draft.account_name} changed" for name in differing]
    rates = await companies.tax_rates_for(connection, company.billing_company)
    await add_rates(connection, tax_spans(rates))
    for other in await selection.other_rates(connection, company.default_tax):
        now = "no rate" if other.rate_now is None else f"{plain(other.rate_now)} %"
        found.setdefault(other.draft_id, []).append(
            f"tax {other.code or '-'} was {plain(other.rate)} % and is {other.code_now or '-'}"
            f" {now}"
        )
    return found
