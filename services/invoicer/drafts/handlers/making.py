"""Makes drafts of the documents of a batch plan; the plan's lines move from open to drafted."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.build_batch import BatchPlan
from services.invoicer.debtors.rules.allowances import AllowanceTerm, in_order
from services.invoicer.drafts.handlers.routing import routed
from services.invoicer.drafts.rules.invoicing_status import (
    TITLES,
    first_status,
)
from services.invoicer.drafts.rules.names import draft_name
from services.invoicer.drafts.store import drafts as store
from services.invoicer.drafts.store.drafts import Draft, DraftEvent, DraftFigures, NewDraft
from services.invoicer.drafts.store.lines import draft_lines
from services.invoicer.invoices.rules.documents import Document, Group
from services.invoicer.options.rules import InvoiceOption
from shared import clock
from shared.errors import Refused
from shared.events.commands.base import InvoicerCommand
from shared.money import rounded
from shared.terms import listed

MOST_LISTED = 100


async def make_drafts(
    connection: AsyncConnection,
    command: InvoicerCommand,
    plan: BatchPlan,
    documents: Sequence[Document],
    made_by: str,
    made_by_id: str,
) -> list[Draft]:
    """Store documents of a plan as drafts, in their order, and return them.

    Each enters the first status that its option needs. Call it under the locks of the plan.
    """
    if not documents:
        return []
    _refuse_fees(documents)
    at = clock.now()
    new = []
    for document in documents:
        option = option_of(plan, document.group)
        new.append(
            NewDraft(
                group_no=document.group.group_no,
                billing_company=plan.company.billing_company,
                status=first_status(option),
                made_by=made_by,
                made_by_id=made_by_id,
                cut_off=plan.cut_off,
                option_name=option.name if option else "",
                option_from=None,
                workflow=option.workflow if option else "",
                needs_transfer=bool(option and option.needs_transfer),
                bill_to=option.bill_to if option else "client",
                account_name=document.group.account_name,
                currency=document.group.currency,
                payment_terms=document.group.terms.payment_terms,
                po_number=document.group.po_number,
                credit_split=document.group.credit_split,
                tax_regime=document.group.terms.tax_regime,
                tax_wording=document.group.terms.tax_wording,
                tax_basis=document.tax_basis,
                allowance_terms=[each.row for each in terms_taken(plan, document.group)],
                invoice_option=document.group.option.row if document.group.option else None,
                created_by=command.actor,
                created_at=at,
                figures=figures_of(document),
            )
        )
    ids = await store.add_drafts(connection, new)
    with_allowances = any(each.group.allowances for each in documents)
    company = plan.company.billing_company
    await draft_lines(connection, company, ids, with_allowances=with_allowances)
    found = await store.drafts_by_id(connection, ids.values())
    await store.add_events(
        connection,
        [
            DraftEvent(
                draft_id,
                "created",
                draft.version,
                draft.status,
                command.actor,
                at,
                command.reason,
                command_id=command.command_id,
            )
            for draft_id, draft in sorted(found.items())
        ],
    )
    found = await routed(connection, found)
    return [found[draft_id] for draft_id in sorted(found)]


def _refuse_fees(documents: Sequence[Document]) -> None:
    """Refuse documents with MSP fees: drafts do not keep them."""
    with_fees = sorted({each.group.account_name for each in documents if each.group.fees})
    if with_fees:
        raise Refused(
            "not_available_yet",
            f"a draft cannot have an MSP fee yet: {listed(with_fees[:5])} would have one",
            "set the fee of the invoice option to 0: `backoffice fees set`, or generate a batch",
        )


def option_of(plan: BatchPlan, group: Group) -> InvoiceOption | None:
    """Return the invoice option of a group, as it is in force for the plan."""
    if group.option is None or plan.options is None:
        return None
    return plan.options.options.get(group.option.name)


def terms_taken(plan: BatchPlan, group: Group) -> list[AllowanceTerm]:
    """Return the discounts and surcharges that a group takes, in their order.

    A fixed amount is taken by one document of the debtor only.
    """
    own = plan.decisions.own_terms.get(group.account_name)
    taken = {each.name for each in group.allowances}
    return [
        term
        for term in in_order(own.allowances if own else ())
        if term.currency in ("", group.currency) and (term.amount is None or term.name in taken)
    ]


def figures_of(document: Document) -> DraftFigures:
    """Return what a draft stores of the sums of its lines."""
    group = document.group
    return DraftFigures(
        document_type=document.document_type,
        service_from=group.service_from,
        service_to=group.service_to,
        net=group.net,
        tax=group.tax,
        total=group.net + group.tax,
        hours=group.hours,
        line_count=group.line_count,
        tax_totals=group.tax_rows,
        allowances=group.allowance_rows if group.allowances else None,
    )


def draft_row(draft: Draft) -> dict[str, Any]:
    """Return what an answer lists of a draft: amounts as decimal strings."""
    amounts = {"net": draft.net, "tax": draft.tax, "total": draft.total}
    return {
        "draft": draft_name(draft.draft_id),
        "version": draft.version,
        "status": TITLES[draft.status],
        "account_name": draft.account_name,
        "document_type": draft.document_type,
        "currency": draft.currency,
        "lines": draft.line_count,
        **{name: str(rounded(amount, draft.currency)) for name, amount in amounts.items()},
        **({"invoice_option": draft.option_name} if draft.option_name else {}),
        **({"workflow": draft.workflow} if draft.workflow else {}),
    }


def draft_rows(drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    """Return the first drafts as an answer lists them."""
    return [draft_row(each) for each in drafts[:MOST_LISTED]]
