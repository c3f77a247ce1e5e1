"""Commands about a batch that is not closed yet, and postings whose message is still to come."""

from dataclasses import replace
from typing import Any

import pytest

from services.arg_sync import subscriptions
from services.arg_sync.subscriptions import answer_held
from shared.consumer import tables
from shared.consumer.commands import Answer
from shared.events.commands import SyncBatch
from tests.builders import COMPANY
from tests.ledgers.delivering import LEDGER, Delivering
from tests.ledgers.fake import FakeServer
from tests.ledgers.sample_ledger import SampleVendor, sample_kind


async def test_an_unknown_batch_is_waited_for_and_then_refused(
    delivering: Delivering, sample: FakeServer
) -> None:
    """The command is held; it is answered when the batch is there, or refused after a quarter of
    an hour.
    """
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor), sample.url, auto=False)
    assert (
        await delivering.tell(
            "sync-batch", command_id="early", billing_company=COMPANY, batch_id="B-1"
        )
        == {}
    )
    assert (
        await delivering.tell(
            "sync-batch", command_id="vain", billing_company=COMPANY, batch_id="B-9"
        )
        == {}
    )
    await delivering.unit_of_work.transact(answer_held)
    assert delivering.answer("early") == {}
    await delivering.close("INV-1")
    await delivering.unit_of_work.transact(answer_held)
    assert delivering.answer("early")["details"]["queued"] == 1
    assert delivering.answer("vain") == {}
    await delivering.rows(
        "UPDATE arg_sync.held_command SET held_at = now() - interval '16 minutes'"
    )
    await delivering.unit_of_work.transact(answer_held)
    refused = delivering.answer("vain")
    assert refused["code"] == "unknown_batch"
    # A repeat of the refused command gets the stored answer and is not held again.
    published = len(delivering.said("command-results"))
    await delivering.tell("sync-batch", command_id="vain", billing_company=COMPANY, batch_id="B-9")
    assert len(delivering.said("command-results")) == published + 1
    assert delivering.answer("vain") == refused
    assert await delivering.rows("SELECT * FROM arg_sync.held_command") == []


async def test_another_body_under_the_id_of_a_held_command_is_refused(
    delivering: Delivering,
) -> None:
    """At once: the first command is held, so its id is used."""

    async def tell(batch: str) -> dict[str, Any]:
        return await delivering.tell(
            "sync-batch", command_id="early", billing_company=COMPANY, batch_id=batch
        )

    assert (await tell("B-1"), await tell("B-1")) == ({}, {})
    assert (await tell("B-2"))["code"] == "command_id_reused"
    (held,) = await delivering.rows("SELECT body FROM arg_sync.held_command")
    assert held.body["batch_id"] == "B-1"


async def test_the_answer_of_a_held_command_keeps_all_its_effects(
    delivering: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that follow the answer, and background jobs that it makes due."""

    async def on_sync_batch(connection: Any, command: SyncBatch) -> Answer:
        return Answer("queued", publish_after=[("posted", "1:0:")], jobs_due=True)

    await delivering.tell("sync-batch", command_id="early", billing_company=COMPANY, batch_id="B-1")
    await delivering.close("INV-1")
    handlers = dict(subscriptions.DISPATCHER.handlers) | {SyncBatch: on_sync_batch}
    dispatcher = replace(subscriptions.DISPATCHER, handlers=handlers)
    monkeypatch.setattr(subscriptions, "DISPATCHER", dispatcher)
    applied = await delivering.unit_of_work.transact(answer_held)
    assert delivering.answer("early")["outcome"] == "accepted"
    assert (applied.publish_after, applied.jobs_due) == ([("posted", "1:0:")], True)


async def test_a_posting_is_published_although_its_document_was_queued_again(
    delivering: Delivering, sample: FakeServer
) -> None:
    """A worker stops after it stored that a document is posted; before another worker publishes
    that, an operator looks the document up again. The message is the same as before.
    """
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor), sample.url)
    await delivering.close("INV-1")
    await delivering.queue()
    await delivering.deliver()
    unit_of_work = delivering.unit_of_work
    async with unit_of_work.engine.connect() as connection:
        entries = [
            entry
            for entry in await tables.outbox_entries(connection, "arg_sync", 100)
            if entry[0] == "posted"
        ]
    await delivering.tell("resync-delivery", ledger=LEDGER, invoice_number="INV-1")
    assert await delivering.states() == {"INV-1": "queued"}
    await unit_of_work.publish_pending(entries)
    first, again = delivering.said("ar-document-posted")
    assert again == first
