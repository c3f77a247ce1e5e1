"""Payments of which there are more than a page holds, while people work on them there."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.ledgers.fake import Asked, Reply
from tests.ledgers.stages import netsuite_stage, quickbooks_stage, xero_stage
from tests.ledgers.suite import Stage, deliver, document

STAGES = {"xero": xero_stage, "quickbooks": quickbooks_stage, "netsuite": netsuite_stage}


@pytest.fixture(params=list(STAGES))
async def stage(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """Each vendor, with pages of two."""
    monkeypatch.setattr(f"services.arg_sync.ledgers.{request.param}.PAGE", 2)
    async with STAGES[request.param]() as made:
        yield made


async def test_no_payment_is_missed_when_one_changes_between_two_pages(stage: Stage) -> None:
    """The first is changed when its page was read: it goes to the end, all others move up by
    one, and none of them is left out or counted twice.
    """
    await deliver(stage.port, document(stage, "INV-1"))
    vendor: Any = stage.server.vendor
    paid = [vendor.pay("INV-1", f"{amount}.00") for amount in range(1, 8)]
    handle, changed = vendor.handle, []

    def changes_after_the_first_page(asked: Asked) -> Reply:
        reply: Reply = handle(asked)
        if not changed:
            changed.append(touch(vendor, paid[0]))
        return reply

    vendor.handle = changes_after_the_first_page
    read = await stage.port.payments("")
    assert {one.payment_id: int(one.amount) for one in read.payments} == {
        an_id(one): amount for amount, one in enumerate(paid, 1)
    }
    again = await stage.port.payments(read.cursor)
    assert {one.payment_id for one in again.payments} <= {
        an_id(one) for one in paid
    } and again.cursor == read.cursor


def an_id(payment: dict[str, Any]) -> str:
    """The vendor's id of a payment."""
    return str(payment.get("PaymentID") or payment.get("Id") or payment["payment"])


def touch(vendor: Any, payment: dict[str, Any]) -> bool:
    """A user of the ledger adds a note: this payment is now the last that was changed."""
    if "UpdatedDateUTC" in payment:
        payment["UpdatedDateUTC"] = vendor._tick()
    elif "MetaData" in payment:
        payment["MetaData"] = {"LastUpdatedTime": vendor.tick()}
    else:
        payment["changed"] = vendor.tick().replace("T", " ").rstrip("Z")
    return True
