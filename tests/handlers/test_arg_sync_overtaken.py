"""Who comes late: a call that takes effect between a look and a create, a worker whose time is
over, a reader among the slots.
"""

from collections.abc import AsyncIterator

import pytest

from services.arg_sync.connections.store import budget
from tests.ledgers.delivering import Delivering
from tests.ledgers.fake import Asked, FakeServer, Reply, playing
from tests.ledgers.sample_ledger import SampleVendor, sample_kind
from tests.running import Pauses, until


@pytest.fixture
async def drafts() -> AsyncIterator[FakeServer]:
    """A ledger that makes drafts."""
    async with playing(SampleVendor(steps=2)) as server:
        yield server


async def test_a_number_that_is_taken_after_the_look_is_our_own(delivering: Delivering) -> None:
    """A call that we gave up takes effect after a lookup found nothing: the ledger refuses the
    second, shows the first, and no person is called.
    """
    vendor = SampleVendor(unique_number=True)
    async with playing(vendor) as server:
        await delivering.connect(sample_kind(vendor, server_seconds=0.0), server.url)
        await delivering.close("INV-1")
        await delivering.queue()
        await delivering.rows(
            "UPDATE arg_sync.delivery SET state = 'unknown', outcome_unknown = true"
        )
        handle = vendor.handle

        def lost_call_arrives(asked: Asked) -> Reply:
            if vendor.makes_document(asked) and not vendor.journal:
                handle(asked)
            return handle(asked)

        vendor.handle = lost_call_arrives  # type: ignore[method-assign]
        await delivering.deliver()
    row = await delivering.delivery("INV-1")
    assert (row.state, row.code, len(vendor.journal)) == ("posted", "adopted", 1), row.message


async def test_a_draft_is_cleared_away_after_the_time_to_write(
    delivering: Delivering, drafts: FakeServer, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was stopped for longer than its lease, with a draft that no other worker
    knows of: it may write no more, but it deletes that draft.
    """
    monkeypatch.setattr(
        "services.arg_sync.deliveries.handlers.delivery_run.hold_seconds", lambda *given: 6.0
    )
    vendor = drafts.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(
        sample_kind(vendor, request_seconds=1.0, server_seconds=0.2), drafts.url
    )
    await delivering.close("INV-1")
    await delivering.queue()
    pauses.hold("document_created")
    async with delivering.engine() as engine:
        await engine.start_due_work()
        await pauses.reached("document_created")
        await delivering.rows(
            "UPDATE arg_sync.delivery SET lease = lease + 1, remote_id = 'R9', state = 'refused'"
        )
        await until("its time to write is over", lambda: over(delivering))
        pauses.release("document_created")
        await engine.run_until_idle()
    assert vendor.documents == {}


async def over(delivering: Delivering) -> bool:
    """Whether the lease is."""
    (row,) = await delivering.rows("SELECT next_attempt_at < now() AS over FROM arg_sync.delivery")
    return bool(row.over)


async def test_slots_of_any_number_are_kept(delivering: Delivering, sample: FakeServer) -> None:
    """A worker that got the last slots keeps those, and takes not the first ones besides when
    these become free.
    """
    assert isinstance(sample.vendor, SampleVendor)
    await delivering.connect(sample_kind(sample.vendor), sample.url)
    async with delivering.engine_of("arg_sync").begin() as connection:
        assert await budget.take_slots(connection, "gl-us", "one", 2, 60) == 2
        assert await budget.take_slots(connection, "gl-us", "two", 4, 60) == 2
        assert await budget.keep_slots(connection, "gl-us", "two", 3600) == 2
        await budget.release_slots(connection, "gl-us", "one")
        assert await budget.keep_slots(connection, "gl-us", "two", 3600) == 2
    held = await delivering.rows(
        "SELECT slot_no, holder, held_until > now() + interval '50 minutes' AS kept FROM"
        " arg_sync.call_slot ORDER BY slot_no"
    )
    assert [tuple(row) for row in held] == [(3, "two", True), (4, "two", True)]


async def test_a_long_run_keeps_the_slot_that_a_reader_left_it(
    delivering: Delivering, sample: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker has all slots but the last, another that one: while it works no third gets it,
    however long that lasts.
    """
    monkeypatch.setattr(
        "services.arg_sync.deliveries.handlers.delivery_run.hold_seconds", lambda *given: 3.0
    )
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(
        sample_kind(vendor, concurrency=3, request_seconds=1.2, server_seconds=0.0), sample.url
    )
    async with delivering.engine_of("arg_sync").begin() as connection:
        await budget.take_slots(connection, "gl-us", "another", 2, 600)
    sample.delay = 0.07
    for no in range(1, 121):
        await delivering.close(f"INV-{no}")
    await delivering.queue()
    async with delivering.engine() as engine:
        await engine.start_due_work()
        await until("a lease's time has passed", lambda: sent(vendor, 110))
        async with delivering.engine_of("arg_sync").begin() as connection:
            assert not await budget.take_one_slot(connection, "gl-us", "a third", 3, 60)
        await engine.run_until_idle()


async def sent(vendor: SampleVendor, number: int) -> bool:
    """Whether so many documents are there."""
    return len(vendor.journal) >= number
