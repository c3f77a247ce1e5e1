"""Fields that a ledger leaves out of its answers, each in turn.

A field that the vendor calls conditional changes nothing; any other is an `unreadable` failure that
names it, never another error, another document or another amount.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any

import pytest

from services.arg_sync.ledgers.documents import CreditedInvoice, Customer, Line
from services.arg_sync.ledgers.failures import Failure
from tests.ledgers.answers import Answers
from tests.ledgers.stages import central_stage, netsuite_stage, quickbooks_stage, xero_stage
from tests.ledgers.suite import Stage, customer_of, deliver, document

STAGES: dict[str, Callable[[], AbstractAsyncContextManager[Stage]]] = {
    "xero": xero_stage,
    "quickbooks": quickbooks_stage,
    "business-central": central_stage,
    "netsuite": lambda: netsuite_stage(currencies="USD=1"),
}
NEEDED = {
    "xero": {
        "Amount",
        "Contact",
        "ContactID",
        "Contacts",
        "CreditNoteID",
        "CreditNoteNumber",
        "CreditNotes",
        "Date",
        "Invoice",
        "InvoiceID",
        "InvoiceNumber",
        "Invoices",
        "PaymentID",
        "Payments",
        "Status",
        "Total",
        "Type",
    },
    "quickbooks": {
        "Amount",
        "CreditMemo",
        "Customer",
        "CustomerRef",
        "DisplayName",
        "DocNumber",
        "Id",
        "Invoice",
        "Payment",
        "QueryResponse",
        "TotalAmt",
        "TxnDate",
        "TxnId",
        "TxnType",
        "value",
    },
    "business-central": {
        "customerId",
        "externalDocumentNumber",
        "id",
        "lastModifiedDateTime",
        "remainingAmount",
        "status",
        "totalAmountIncludingTax",
        "value",
    },
    "netsuite": {
        "amount",
        "doc",
        "entity",
        "externalId",
        "id",
        "invoice",
        "items",
        "paid_on",
        "payment",
        "status",
        "total",
    },
}
"""Fields without which an answer says nothing that we could use."""
REFUSED = {"xero": {"Allocations"}, "business-central": {"invoiceId"}, "netsuite": {"apply"}}
"""Fields that say where a credit note is applied: without them the ledger refuses to apply it
again, or we do; the document stays posted, and a person is told."""
ON_ACCOUNT = {"quickbooks": {"Line", "LinkedTxn"}}
"""Fields without which a payment pays no document."""


async def what_is_read(stage: Stage, at: int, cursor: str) -> tuple[list[Any], str]:
    """A customer, an invoice, a credit note that is applied, a payment: what we read of them."""
    vendor: Any = stage.server.vendor
    numbers = (f"I-{at}", f"C-{at}")
    mercy = Customer(f"Mercy {at}", "Mercy Inc.", "2 Care Rd", "M-1", currency="USD")
    made = document(stage, numbers[0], customer=mercy)
    invoice = await deliver(stage.port, made)
    corrected = (CreditedInvoice(made.number, Decimal("10.00"), invoice.remote_id),)
    few = Line(1, "x", Decimal(1), Decimal(10), Decimal(10), *_codes(stage), Decimal(0))
    note = document(
        stage,
        numbers[1],
        "credit-note",
        customer=mercy,
        corrects=corrected,
        lines=(few,),
        tax=Decimal(0),
        total=Decimal(10),
    )
    credit = await deliver(stage.port, note)
    for _ in range(2):
        await stage.port.allocate(credit, note)
    vendor.pay(numbers[0], "1000.00")
    read: list[Any] = []
    for number, one in zip(numbers, (invoice, credit), strict=True):
        (found,) = (await stage.port.find(one.kind, [number]))[number]
        now = (await stage.port.status(one.kind, [one.remote_id]))[one.remote_id]
        assert now is not None and await customer_of(stage.port, mercy) == now.customer
        for each in (one, found, now):
            read.append((each.kind, each.number[:2], each.currency, each.total))
    page = await stage.port.payments(cursor)
    mine = [one for one in page.payments if one.remote_id == invoice.remote_id]
    read.append([(one.amount, one.currency or "USD", one.cancelled) for one in mine])
    return read, page.cursor


def _codes(stage: Stage) -> tuple[str, str, str, str]:
    return stage.codes["account"], stage.codes.get("item", ""), "", ""


@pytest.mark.parametrize("null", [False, True], ids=["absent", "null"])
@pytest.mark.parametrize("name", sorted(STAGES))
async def test_each_field_left_out_in_turn(name: str, null: bool) -> None:
    """What is conditional changes nothing; without a field that is needed nothing is concluded."""
    async with STAGES[name]() as stage:
        answers = Answers(stage, null=null)
        whole, cursor = await what_is_read(stage, 0, "")
        assert whole[-1] == [(Decimal("1000.00"), "USD", False)]
        for at, field in enumerate(sorted(answers.names), 1):
            answers.left_out = field
            if field in NEEDED[name] | REFUSED.get(name, set()):
                with pytest.raises(Failure) as failed:
                    await what_is_read(stage, at, cursor)
                refused = (failed.value.failure == "permanent", failed.value.code == "unreadable")
                assert refused == (field not in NEEDED[name], field in NEEDED[name]), failed.value
                continue
            read, _ = await what_is_read(stage, at, cursor)
            on_account = field in ON_ACCOUNT.get(name, set())
            assert read == [*whole[:-1], [] if on_account else whole[-1]], field
