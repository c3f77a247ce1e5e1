"""The cases that histories reached: a rule of settlement that none reaches is not proved."""

from collections.abc import Iterator

from tests.histories.reference.ledger import EDIT_MEETS_REVISION, Page
from tests.histories.reference.reference import Reference
from tests.histories.reference.values import Document

WANTED = (
    "invoice",
    "credit note",
    "netted document",
    "document of zero",
    "credit of several lines",
    "credit at another debtor than the debit",
    "part of a line credited",
    "line used up",
    "withheld after invoicing",
    "stale statement",
    "edit",
    "edit meets revision",
    "snoozed",
    "forgiven",
    "scheduled",
    "adjustment in force",
    "rate confirmed",
    "written off",
    "credited to rebill",
    "issued again",
    "written off and taken back",
    "retainer invoiced",
    "retainer taken off a fee",
    "fee given back",
    "charge",
    "occurrence invoiced",
    "discount",
    "surcharge",
    "credit of an allowance",
)
"""What a hundred histories together must have met."""


def _is_set_off(reference: Reference, document: Document) -> bool:
    if document[0] != "placement":
        return False
    fees = reference.pricing.placements_of(document)
    return bool(fees.fees) and bool(reference.pricing.orders[fees.order_id].retainer)


def _is_withdrawn(page: Page) -> bool:
    return page.settled is not None and page.settled.realized and not page.settled.lines


def met(reference: Reference) -> Iterator[str]:
    """The cases that the data shows now."""
    for invoice in reference.billing.invoices:
        credits = [one for one in invoice.lines if one.corrects is not None]
        yield "invoice" if invoice.kind == "invoice" else "credit note"
        if credits and len(credits) < len(invoice.lines):
            yield "netted document"
        if not invoice.net and not invoice.tax:
            yield "document of zero"
        amounts = [amount for *_, base, amount in invoice.allowances if base > 0]
        if min(amounts, default=0) < 0:
            yield "discount"
        if max(amounts, default=0) > 0:
            yield "surcharge"
        if len(amounts) < len(invoice.allowances):
            yield "credit of an allowance"
        for one in credits:
            assert one.corrects is not None
            yield "part of a line credited" if one.corrects.left.quantity else "line used up"
            if any(
                other.account != one.account
                for other in reference.ledger.pages[one.document].billed
                if other.line.key == one.line.key
            ):
                yield "credit at another debtor than the debit"
    for document, page in reference.ledger.pages.items():
        corrected = [one.line.key for one in page.open if one.corrects is not None]
        facts = {
            "credit of several lines": len(corrected) > len(set(corrected)),
            "withheld after invoicing": bool(page.billed)
            and page.settled is not None
            and not page.settled.realized,
            "edit": any(edit.difference for edit in page.edits.values()),
            "edit meets revision": any(
                hold.code == EDIT_MEETS_REVISION for hold in page.holds.values()
            ),
            "snoozed": any(hold.code != EDIT_MEETS_REVISION for hold in page.holds.values()),
            "forgiven": bool(page.written_off) and not page.open,
            "scheduled": any(one.line.effective > reference.today for one in page.open),
            "written off": bool(page.written_off),
            "retainer invoiced": document[0] == "retainer" and bool(page.billed),
            "retainer taken off a fee": _is_set_off(reference, document),
            "fee given back": page.settled is not None
            and any(line.credit_on for line in page.settled.lines),
            "charge": document[0] == "charge" and bool(page.billed),
            "occurrence invoiced": document[0] == "assignment" and bool(page.billed),
            "occurrence withdrawn": document[0] == "assignment" and _is_withdrawn(page),
            "adjustment in force": (reference.pricing.papers[document].in_force or ("",))[0]
            not in ("", document[1]),
        }
        yield from (name for name, there in facts.items() if there)
