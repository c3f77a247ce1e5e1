"""What a delivery waits for is named, with why: an invoice that is refused, missing or late, or its
connection; and a wait for what only a person can move ends.
"""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from services.console.cli import ledgers as cli
from services.console.cli.command import Run
from services.console.queries import deliveries as shown
from services.console.queries.snapshot import open_snapshot
from tests.conftest import Configure
from tests.ledgers.delivering import LEDGER, Closed, Delivering
from tests.ledgers.fake import FakeServer, Fault
from tests.ledgers.reads import open_drifts, reconcile, remote_id
from tests.ledgers.sample_ledger import SampleVendor, sample_kind


def vendor_of(sample: FakeServer) -> SampleVendor:
    """The vendor on this server."""
    assert isinstance(sample.vendor, SampleVendor)
    return sample.vendor


async def show(database: str, number: str) -> dict[str, Any]:
    """The delivery as `deliveries show` has it."""
    async with open_snapshot(database) as connection:
        return await shown.delivery(connection, number)


async def progress(database: str) -> dict[str, Any]:
    """What `batch sync --wait` sees."""
    async with open_snapshot(database) as connection:
        return await shown.batch_progress(connection, "B-1")


@pytest.fixture
async def gone_live(delivering: Delivering, sample: FakeServer) -> tuple[Closed, Closed]:
    """An invoice from before the ledger was connected, and its credit note from after that."""
    await delivering.connect(sample_kind(vendor_of(sample)), sample.url)
    before = await delivering.close("INV-1", batch="B-0")
    note = await delivering.close("CN-2", credits=before)
    await delivering.queue(note)
    return before, note


async def test_a_credit_note_waits_for_an_invoice_that_is_not_in_the_ledger(
    delivering: Delivering, sample: FakeServer, database: str, gone_live: tuple[Closed, Closed]
) -> None:
    """It says so, reconciliation finds it; when the invoice is there, it is posted and applied."""
    await delivering.deliver()
    assert await delivering.states() == {"CN-2": "queued"} and not vendor_of(sample).journal
    found = await show(database, "CN-2")
    assert (found["waits_for"], found["waits"]) == (
        "INV-1",
        f"it waits for INV-1, which was never queued for {LEDGER}",
    )
    assert (await reconcile(delivering)).state == "done"
    assert await open_drifts(delivering) == {("not-applied", "CN-2")}
    (drift,) = await delivering.rows("SELECT message, fix FROM arg_sync.drift")
    assert "INV-1" in drift.message and "retry CN-2 --unapplied" in drift.fix
    await delivering.queue(gone_live[0])
    await delivering.deliver()
    assert await delivering.states() == {"CN-2": "posted", "INV-1": "posted"}
    applied = vendor_of(sample).documents[remote_id(sample, "CN-2")]["applied"]
    assert applied.keys() == {remote_id(sample, "INV-1")}
    assert Decimal(applied[remote_id(sample, "INV-1")]) == gone_live[0].total
    assert (await reconcile(delivering)).state == "done"
    assert await open_drifts(delivering) == set()


async def test_an_operator_posts_it_unapplied_and_it_is_applied_later(
    delivering: Delivering, sample: FakeServer, gone_live: tuple[Closed, Closed]
) -> None:
    """Posted, it is said to be unapplied; when the invoice is delivered it is applied, once."""
    await delivering.deliver()
    answer = await delivering.tell(
        "retry-delivery", ledger=LEDGER, invoice_number="CN-2", unapplied=True
    )
    assert answer["outcome"] == "accepted", answer
    await delivering.deliver()
    note = await delivering.delivery("CN-2")
    assert (note.state, note.code) == ("posted", "unapplied") and "INV-1" in note.message
    (said,) = delivering.said("ar-document-posted")
    assert b"not applied to INV-1" in said.value
    await reconcile(delivering)
    assert await open_drifts(delivering) == {("not-applied", "CN-2")}
    await delivering.queue(gone_live[0])
    await delivering.deliver()
    note = await delivering.delivery("CN-2")
    assert (note.state, note.code, note.message) == ("posted", "", "")
    documents = vendor_of(sample).documents
    assert documents[remote_id(sample, "CN-2")]["applied"].keys() == {remote_id(sample, "INV-1")}
    assert documents[remote_id(sample, "INV-1")]["balance"] == 0
    assert len(documents) == 2
    await reconcile(delivering)
    assert await open_drifts(delivering) == set()


async def test_an_invoice_that_arrives_while_its_credit_note_is_sent_is_credited(
    delivering: Delivering, sample: FakeServer, gone_live: tuple[Closed, Closed]
) -> None:
    """Both go at once, and the answer to the credit note comes last: it is applied all the same."""
    sample.choose = lambda asked: Fault("slow", 0.005) if b"CN-2" in asked.body else None
    await delivering.queue(gone_live[0])
    await delivering.tell("retry-delivery", ledger=LEDGER, invoice_number="CN-2", unapplied=True)
    await delivering.deliver()
    attempts = await delivering.rows("SELECT code FROM arg_sync.attempt ORDER BY ended_at")
    assert [row.code for row in attempts][:2] == ["", "unapplied"]
    note = await delivering.delivery("CN-2")
    assert (note.state, note.code) == ("posted", "")
    applied = vendor_of(sample).documents[remote_id(sample, "CN-2")]["applied"]
    assert applied.keys() == {remote_id(sample, "INV-1")}


async def test_a_whole_batch_goes_unapplied_and_an_invoice_never_does(
    delivering: Delivering, gone_live: tuple[Closed, Closed]
) -> None:
    """`batch sync --unapplied` lets its credit notes go; of an invoice that means nothing."""
    answer = await delivering.tell(
        "sync-batch", billing_company="acme-us", batch_id="B-1", unapplied=True
    )
    assert answer["outcome"] == "accepted", answer
    await delivering.deliver()
    assert await delivering.states() == {"CN-2": "posted"}
    await delivering.queue(gone_live[0])
    refused = await delivering.tell(
        "retry-delivery", ledger=LEDGER, invoice_number="INV-1", unapplied=True
    )
    assert (refused["outcome"], refused["code"]) == ("refused", "not_a_credit_note")


async def test_an_invoice_without_an_id_there_leaves_its_credit_note_unapplied(
    delivering: Delivering, gone_live: tuple[Closed, Closed]
) -> None:
    """A person entered the invoice and marked it: what we do not know we cannot apply to."""
    await delivering.queue(gone_live[0])
    await delivering.tell("mark-posted", ledger=LEDGER, invoice_number="INV-1")
    await delivering.deliver()
    note = await delivering.delivery("CN-2")
    assert (note.state, note.code) == ("posted", "unapplied")


async def test_a_wait_ends_when_only_a_person_can_go_on(
    delivering: Delivering, sample: FakeServer, database: str, configure: Configure
) -> None:
    """A credit note behind a refused invoice: `batch sync --wait` does not wait, but names it
    with the ledger's message.
    """
    await delivering.connect(sample_kind(vendor_of(sample)), sample.url)
    invoice = await delivering.close("INV-1")
    await delivering.close("CN-2", credits=invoice)
    await delivering.queue()
    assert (await progress(database))["need_person"] == 0
    assert (await show(database, "CN-2"))["waits"] == "it waits for INV-1, which is queued"
    sample.plan(Fault("refuse"))
    await delivering.deliver()
    found = await progress(database)
    assert (found["open"], found["need_person"]) == (1, 1)
    (waiting,) = found["waiting"]
    assert (waiting["invoice_number"], waiting["waits_for"]) == ("CN-2", "INV-1")
    assert "INV-1, which is refused: " in waiting["waits"] and "inactive" in waiting["waits"]
    configure(database_url=database, kafka="127.0.0.1:1")
    ended = await asyncio.to_thread(cli._wait_for_deliveries, Run(True, timeout=20.0), "B-1")
    assert ended["need_person"] == 1
    await delivering.rows("UPDATE arg_sync.connection SET state = 'login refused', message = 'no'")
    await delivering.rows("UPDATE arg_sync.delivery SET state = 'queued'")
    found = await progress(database)
    assert (found["open"], found["need_person"]) == (2, 2)
    assert found["waiting"][0]["waits"] == f"{LEDGER} cannot log in: no"
