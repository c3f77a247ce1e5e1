"""Ten thousand queued deliveries, and a worker that is killed in the middle of them: each
document is sent once.
"""

import asyncio
import os
import sys
import time
from collections import Counter

import pytest

from tests.ledgers.delivering import Delivering
from tests.ledgers.fake import FakeServer, playing
from tests.ledgers.many import TIMES, queue_many
from tests.ledgers.sample_ledger import SampleVendor, sample_kind

DOCUMENTS, CONCURRENCY, KILLS = 10_000, 8, 3
PATIENCE_SECONDS = 240.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


async def delivered(server: FakeServer, documents: int) -> None:
    """Until the ledger has so many."""
    last = time.monotonic() + PATIENCE_SECONDS
    while len(server.vendor.journal) < documents:
        assert time.monotonic() < last, f"{len(server.vendor.journal)} of {documents}"
        await asyncio.sleep(0.05)


async def test_queued_deliveries_survive_a_restart_without_a_second_send(
    delivering: Delivering, database: str
) -> None:
    """kill -9 in the middle, three times: what was in hand is looked up, and every document was
    sent exactly once.
    """
    vendor = SampleVendor(unique_number=True, customers={"Mercy Hospital": "C1"})
    async with playing(vendor) as server:
        await delivering.connect(sample_kind(vendor, concurrency=CONCURRENCY, **TIMES), server.url)
        await queue_many(delivering, DOCUMENTS)
        environment = os.environ | {"BACKOFFICE_DATABASE_URL": database}
        for kills in range(1, KILLS + 2):
            worker = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.ledgers.many", str(CONCURRENCY), env=environment
            )
            await delivered(server, DOCUMENTS * kills // (KILLS + 1))
            if kills > KILLS:
                await settled(delivering)
            worker.kill()
            await worker.wait()
        posts = [
            path for _, method, path in server.calls if (method, path) == ("POST", "/documents")
        ]
    numbers = Counter(one.number for one in vendor.journal)
    assert len(numbers) == DOCUMENTS and set(numbers.values()) == {1}
    assert len(posts) == DOCUMENTS, f"{len(posts)} were sent for {DOCUMENTS} documents"
    adopted = await delivering.rows("SELECT 1 FROM arg_sync.delivery WHERE code = 'adopted'")
    print(f"{len(adopted)} were found there after a kill")


async def settled(delivering: Delivering) -> None:
    """Until every delivery is posted."""
    last = time.monotonic() + PATIENCE_SECONDS
    while (
        states := {
            row.state
            for row in await delivering.rows("SELECT DISTINCT state FROM arg_sync.delivery")
        }
    ) != {"posted"}:
        assert time.monotonic() < last, states
        await asyncio.sleep(0.2)
