"""Computes drafts again after their lines changed: tax, allowances, sums, version and status.

All amounts are computed as those of a batch are, with the tax rates of today.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.document_fees import with_document_tax
from services.invoicer.batches.rules.allowances import GroupAllowance
from services.invoicer.batches.store import allowances
from services.invoicer.batches.store.decisions import add_rates
from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.debtors.rules.allowances import allowance_terms
from services.invoicer.debtors.rules.companies import BillingCompany
from services.invoicer.debtors.store import companies
from services.invoicer.drafts.handlers.making import figures_of
from services.invoicer.drafts.handlers.routing import routed
from services.invoicer.drafts.rules.invoicing_status import CANCELLED, status_after_change
from services.invoicer.drafts.store import drafts as store
from services.invoicer.drafts.store import selection
from services.invoicer.drafts.store.drafts import Draft, DraftEvent
from services.invoicer.invoices.rules.documents import Document, Group, document_type
from services.invoicer.invoices.rules.totals import tax_spans
from shared import clock


class Change(NamedTuple):
    """What is done to drafts, by whom and why; `sends_again`: an item changed or was withdrawn."""

    action: str
    actor: str
    reason: str = ""
    command_id: str = ""
    sends_again: bool = False
    details: Mapping[str, Any] = {}


async def recalculate(
    connection: AsyncConnection, billing_company: str, drafts: Mapping[int, Draft], change: Change
) -> dict[int, Draft]:
    """Store the next version of locked drafts whose lines changed, and return it.

    A draft without lines ends. Routing starts again, if the draft has a workflow.
    """
    if not drafts:
        return {}
    company = await company_of(connection, billing_company)
    documents = await _documents(connection, company, drafts)
    at = clock.now()
    events = []
    for draft_id, draft in sorted(drafts.items()):
        document = documents.get(draft_id)
        if document is None:
            status = CANCELLED
        else:
            status = status_after_change(draft.status, draft, sends_again=change.sends_again)
            await store.save_figures(connection, draft_id, figures_of(document))
        version = draft.version + 1
        await store.save_status(connection, draft, status, version)
        events.append(_event(draft_id, version, status, change, at, ended=document is None))
    await store.add_events(connection, events)
    return await routed(connection, await store.drafts_by_id(connection, drafts))


def _event(
    draft_id: int, version: int, status: str, change: Change, at: datetime, *, ended: bool
) -> DraftEvent:
    details = dict(change.details) | ({"ended": "no line is left"} if ended else {})
    return DraftEvent(
        draft_id,
        change.action,
        version,
        status,
        change.actor,
        at,
        change.reason,
        details=details,
        command_id=change.command_id,
    )


async def _documents(
    connection: AsyncConnection, company: BillingCompany, drafts: Mapping[int, Draft]
) -> dict[int, Document]:
    """Compute the documents of drafts again, and store tax and allowances of their lines."""
    await selection.drop_selection(connection)
    rates = await companies.tax_rates_for(connection, company.billing_company)
    await add_rates(connection, tax_spans(rates))
    await selection.select_drafts(connection, drafts)
    await selection.tax_again(connection, company.default_tax)
    groups = await selection.groups_of(connection, drafts, with_shares=False)
    with_terms = [
        GroupAllowance(draft_id, position, term)
        for draft_id in groups
        for position, term in enumerate(allowance_terms(drafts[draft_id].allowance_terms), start=1)
    ]
    with_allowances = bool(with_terms) or any(draft.allowances for draft in drafts.values())
    if with_allowances:
        await selection.drop_selection(connection, only_allowances=True)
        await allowances.create_tables(connection)
        taken = await allowances.take_allowances(
            connection, list(groups.values()), with_terms, drafted=True
        )
        groups = {group.group_no: group for group in taken}
    documents = [_document(group, drafts[draft_id]) for draft_id, group in groups.items()]
    documents = await with_document_tax(connection, documents, company)
    await selection.save_taxes(connection, with_allowances=with_allowances)
    return {each.group.group_no: each for each in documents}


def _document(group: Group, draft: Draft) -> Document:
    """Return the document of a group; one that comes to zero keeps the type that it had."""
    return Document(group, document_type(group) or draft.document_type)
