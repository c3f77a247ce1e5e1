"""The rate budget of a connection, over one worker and over four: used to 95 %, never exceeded."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.arg_sync.deliveries.handlers.delivery_loop import DeliveryLoop
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.ledgers.delivering import Delivering, with_private_key
from tests.ledgers.fake import FakeServer, playing
from tests.ledgers.sample_ledger import SampleVendor, sample_kind

pytestmark = pytest.mark.slow
PER_MINUTE, WINDOW_SECONDS, DOCUMENTS = 300, 20.0, 120


@pytest.fixture
async def delivering(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure, tmp_path: Path
) -> Delivering:
    """arg_sync on an empty database."""
    configure(pool_size=12)
    with_private_key(configure, tmp_path / "data")
    return Delivering(engine_of, unit_of_work_for)


@pytest.fixture
async def sample() -> AsyncIterator[FakeServer]:
    """A ledger that takes a document in one call."""
    async with playing(SampleVendor(unique_number=True)) as server:
        yield server


async def many(
    delivering: Delivering, sample: FakeServer, documents: int, **capabilities: object
) -> SampleVendor:
    """Documents of one customer, who is there."""
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor, **capabilities), sample.url)
    for no in range(1, documents + 1):
        await delivering.close(f"INV-{no:05d}")
    vendor.customers["Mercy Hospital"] = "C1"
    await delivering.queue()
    return vendor


@pytest.mark.parametrize("workers", [1, 4])
async def test_the_budget_is_used_and_never_exceeded(
    delivering: Delivering, sample: FakeServer, workers: int
) -> None:
    """300 calls a minute over all workers: no twenty seconds hold more than 100, and all
    together take hardly longer than they must.
    """
    vendor = await many(delivering, sample, DOCUMENTS, per_minute=PER_MINUTE, concurrency=6)
    engines = [
        DeliveryLoop(delivering.unit_of_work, delivering.kinds, f"w{no}") for no in range(workers)
    ]
    await asyncio.gather(*(engine.run_until_idle(120) for engine in engines))
    for engine in engines:
        await engine.drain()
    assert len(vendor.journal) == DOCUMENTS
    at = sorted(when for when, _, _ in sample.calls)
    a_second = PER_MINUTE / 60
    most = max(sum(1 for other in at if when <= other < when + WINDOW_SECONDS) for when in at)
    assert most <= a_second * WINDOW_SECONDS, f"{most} calls in {WINDOW_SECONDS:.0f} s"
    used = (len(at) - 1) / (at[-1] - at[0]) / a_second
    assert used >= 0.95, f"{used:.3f} of the budget was used"


async def test_calls_of_a_day_are_counted_over_all_workers(
    delivering: Delivering, sample: FakeServer
) -> None:
    """When they are used up, the connection rests and says so; nothing is refused."""
    vendor = await many(delivering, sample, 10, per_day=6)
    await delivering.deliver()
    await delivering.deliver("w2")
    assert len(sample.calls) == 6 and len(vendor.journal) < 10
    states = set((await delivering.states()).values())
    assert states <= {"posted", "queued"}
    (row,) = await delivering.rows(
        "SELECT circuit_message, open_until > now() AS resting FROM arg_sync.connection"
    )
    assert row.resting and "of a day are used up" in row.circuit_message
