"""A webhook under the delivery engine: no codes are needed, a credit note names its invoices."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from services.arg_sync.ledgers.webhook import LEDGER
from tests.ledgers.delivering import Delivering
from tests.ledgers.fake import FakeServer, Fault, playing
from tests.ledgers.reads import open_drifts, reconcile
from tests.ledgers.vendors.webhook import SECRET, WebhookVendor


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    """A receiver with look-ups."""
    async with playing(WebhookVendor()) as made:
        yield made


async def test_closed_documents_arrive_once_whole_and_without_a_mapping(
    delivering: Delivering, server: FakeServer
) -> None:
    """Two invoices and a credit note through lost answers; nothing is mapped. Each arrives once,
    with its lines as they were closed, the credit note with the id of its invoice.
    """
    await delivering.connect(LEDGER, server.url, look_up="yes")
    await delivering.seal({"secret": SECRET})
    await delivering.rows("DELETE FROM arg_sync.mapping")
    invoice = await delivering.close("INV-000001")
    await delivering.close("INV-000002")
    await delivering.queue()
    server.plan(Fault("reset"), Fault("page-after"))
    for _ in range(4):
        await delivering.deliver()
        await delivering.hurry()
    await delivering.close("CN-000003", credits=invoice)
    await delivering.queue(delivering.closed[-1])
    await delivering.deliver()
    assert set((await delivering.states()).values()) == {"posted"}
    vendor = server.vendor
    assert [
        (one.number, one.total) for one in sorted(vendor.journal, key=lambda one: one.number)
    ] == [(one.number, one.total) for one in sorted(delivering.closed, key=lambda one: one.number)]
    bodies = [json.loads(each.body) for each in vendor.asked if each.body]  # type: ignore[attr-defined]
    credit = bodies[-1]
    first = await delivering.delivery("INV-000001")
    assert credit["corrects"] == [
        {
            "invoice_number": "INV-000001",
            "amount": str(invoice.total),
            "remote_id": first.remote_id,
        }
    ]
    assert Decimal(credit["total"]) == -invoice.total
    assert [line["description"] for line in credit["lines"]] == ["Nurse · line 1", "Nurse · line 2"]
    assert all(line["account"] == "" for line in credit["lines"])
    await reconcile(delivering)
    assert await open_drifts(delivering) == set()


async def test_without_look_up_reconciliation_reports_unread_and_no_drift(
    delivering: Delivering, server: FakeServer
) -> None:
    """A receiver that cannot be asked: its documents count as unread, none as deleted."""
    await delivering.connect(LEDGER, server.url, look_up="no")
    await delivering.seal({"secret": SECRET})
    await delivering.close("INV-000001")
    await delivering.queue()
    await delivering.deliver()
    assert await delivering.states() == {"INV-000001": "posted"}
    run = await reconcile(delivering)
    assert (run.unread, await open_drifts(delivering)) == (1, set()), run
