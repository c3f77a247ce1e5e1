"""A worker that is asked to stop ends the deliveries that it has in hand: cut off, each would be
in doubt and wait for the end of its lease.
"""

import asyncio

import pytest

from services.arg_sync import app
from shared.consumer.application import build_app
from tests.conftest import Configure
from tests.handlers.sample_worker import until
from tests.ledgers.delivering import Delivering
from tests.ledgers.fake import FakeServer
from tests.ledgers.sample_ledger import sample_kind


@pytest.mark.parametrize("busy", [0.0, 0.6])
async def test_a_stop_ends_what_is_in_hand(
    delivering: Delivering,
    sample: FakeServer,
    stack: dict[str, str],
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    busy: float,
) -> None:
    """Also when a batch in hand takes its time, and the loop that looks for deliveries has ended
    by itself meanwhile.
    """
    configure(sweep_seconds=0.3)
    await delivering.connect(sample_kind(sample.vendor, request_seconds=5.0), sample.url)  # type: ignore[arg-type]
    await delivering.close("INV-1")
    await delivering.queue()
    sample.delay = 0.8
    monkeypatch.setattr(app, "adapter_specs", lambda: delivering.kinds)
    application = build_app(app.service())
    running = asyncio.create_task(application.exit_code())

    async def asked() -> bool:
        return any(method == "POST" and "document" in path for _, method, path in sample.calls)

    await until("the document is under way", asked)
    lock = application.consumers[0].busy
    async with lock:
        application.exit()
        await asyncio.sleep(busy)
    assert await asyncio.wait_for(running, 30) == 0
    assert (await delivering.delivery("INV-1")).state == "posted" and not sample.at_once
