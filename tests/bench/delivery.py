"""Deliveries against a bare client with the same concurrency on the same server, in one run.

The server is the sample ledger of the tests in a process of its own, with a latency for each
response. The engine does for each document what it always does: it stores the request, holds
leases, stores the outcome and publishes it.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.arg_sync.ledgers.adapter import FrozenRequest
from shared import sealing
from shared.consumer.unit_of_work import UnitOfWork
from shared.database import engine_for
from shared.settings import settings
from tests.bench.setup import BenchServers, environment
from tests.conftest import as_superuser
from tests.ledgers.delivering import Delivering
from tests.ledgers.fake import playing
from tests.ledgers.many import Silent, queue_many
from tests.ledgers.sample_ledger import CAPABILITIES, SAMPLE, TOKEN, SampleVendor
from tests.ledgers.suite import host
from tests.running import free_port


@dataclass(frozen=True)
class Delivered:
    """Documents a second by the engine, and by a client that only sends."""

    engine: float
    bare: float
    documents: int
    concurrency: int
    latency_ms: float

    @property
    def ratio(self) -> float:
        """The rate of the engine as a part of that of the bare client."""
        return self.engine / self.bare


def measure(
    bench_servers: BenchServers, documents: int, concurrency: int, latency_ms: float
) -> Delivered:
    """The bare client, then the engine, with the same number of documents."""
    with bench_servers.place("delivery"), _server(latency_ms) as url, _private_key():
        bare = asyncio.run(_bare(url, documents, concurrency))
        engine = asyncio.run(_engine(url, documents, concurrency))
    return Delivered(engine, bare, documents, concurrency, latency_ms)


@contextlib.contextmanager
def _private_key() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        values = {"DATA": folder, "LEDGER_TEST_HOSTS": "127.0.0.1", "POOL_SIZE": "12"}
        with environment({f"BACKOFFICE_{name}": value for name, value in values.items()}):
            sealing.make_private_key(sealing.key_file())
            yield


@contextlib.contextmanager
def _server(latency_ms: float) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.delivery", str(port), str(latency_ms)]
    )
    try:
        url, last = f"http://127.0.0.1:{port}", time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(
                    urllib.request.Request(
                        f"{url}/company", headers={"authorization": f"Bearer {TOKEN}"}
                    ),
                    timeout=1,
                ).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < last, (
                    "the sample server did not start"
                )
                time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


async def _bare(url: str, documents: int, concurrency: int) -> float:
    can = replace(CAPABILITIES, concurrency=concurrency, request_seconds=30.0)
    port = SAMPLE.make(host(can, {"base_url": url}, {"token": TOKEN}, SAMPLE.settings))
    call_limit = asyncio.Semaphore(concurrency)

    async def send(no: int) -> None:
        body = json.dumps(
            {
                "number": f"X-{no}",
                "kind": "invoice",
                "customer": "C1",
                "date": "2026-03-01",
                "currency": "USD",
                "total": "50",
            }
        )
        async with call_limit:
            await port.create([FrozenRequest(str(no), body, "invoice", f"X-{no}")])

    began = time.monotonic()
    await asyncio.gather(*(send(no) for no in range(documents)))
    took = time.monotonic() - began
    await port.close()
    return documents / took


async def _engine(url: str, documents: int, concurrency: int) -> float:
    engines: dict[str, AsyncEngine] = {}

    def engine_of(role: str) -> AsyncEngine:
        if role not in engines:
            engines[role] = (
                create_async_engine(as_superuser(settings().database_url))
                if role == "owner"
                else engine_for(role, settings().database_url)
            )
        return engines[role]

    def unit_of_work_for(service: str, says: Any) -> UnitOfWork:
        return UnitOfWork(service, engine_of(service), Silent(), says)  # type: ignore[arg-type]

    try:
        delivering = Delivering(engine_of, unit_of_work_for)
        kind = replace(
            SAMPLE,
            capabilities=replace(
                CAPABILITIES, unique_number=True, concurrency=concurrency, request_seconds=30.0
            ),
        )
        await delivering.connect(kind, url)
        await queue_many(delivering, documents)
        began = time.monotonic()
        await delivering.deliver(seconds=3600)
        took = time.monotonic() - began
        states = set((await delivering.states()).values())
        assert states == {"posted"}, states
        return documents / took
    finally:
        for one in engines.values():
            await one.dispose()


async def _serve(port: int, latency_ms: float) -> None:
    async with playing(
        SampleVendor(unique_number=True, customers={"Mercy Hospital": "C1"})
    ) as server:
        await server.stop()
        server.port, server.delay = port, latency_ms / 1000
        await server.start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
