"""What a stack costs while nothing happens: the processor time of all workers, Kafka and
PostgreSQL.

It is compared with the least that the same servers need in the same run: four processes with one
plain consumer each, which wait for records that do not come. The process that supervises the
workers counts too; the plain consumers have none.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from aiokafka import AIOKafkaConsumer

from shared.broker.security import kafka_access
from shared.broker.topics import TIMESHEET_APPROVED
from shared.stack.workers import STANDARD
from tests.bench.setup import BenchServers, Place, computed


@dataclass(frozen=True)
class Idle:
    """Processor seconds per second on the clock (1.0 is one core)."""

    seconds: float
    workers: dict[str, float]
    """Of each process of a stack with all workers, by name."""
    bare: dict[str, float]
    """Of the same servers with plain consumers."""


def measure(bench_servers: BenchServers, seconds: float, settle_seconds: float) -> Idle:
    """Measures the plain consumers first, then all workers, for so many seconds each."""
    servers = {
        "kafka": [bench_servers.stack.kafka.pid],
        "postgres": [bench_servers.stack.postgres.pid],
    }
    with bench_servers.place("idle") as place:
        with _plain_consumers(place, len(STANDARD)) as pids:
            bare = _costs({**servers, "consumers": pids}, seconds, settle_seconds)
        workers = {worker.name: [worker.pid] for worker in place.start(*STANDARD)}
        own = {"supervisor": [os.getpid()]}
        parts = _costs({**servers, **own, **workers}, seconds, settle_seconds)
    return Idle(seconds, parts, bare)


def _costs(
    named: Mapping[str, Sequence[int | None]], seconds: float, settle_seconds: float
) -> dict[str, float]:
    """What each of these processes computes in a second, once all is settled."""
    time.sleep(settle_seconds)
    before = {name: _with_children(pids) for name, pids in named.items()}
    began = time.perf_counter()
    time.sleep(seconds)
    took = time.perf_counter() - began
    return {name: (_with_children(pids) - before[name]) / took for name, pids in named.items()}


def _with_children(pids: Sequence[int | None]) -> float:
    """Processor seconds so far. Every connection to PostgreSQL is a child of its first process."""
    every = [pid for pid in pids if pid]
    if every != [os.getpid()]:
        every += [child.pid for pid in every for child in psutil.Process(pid).children()]
    return sum(computed(pid) for pid in every)


@contextmanager
def _plain_consumers(place: Place, number: int) -> Iterator[list[int]]:
    """Processes with one plain consumer each; all have their partitions when this yields."""
    topic = place.topic(TIMESHEET_APPROVED.name)
    command = [sys.executable, "-m", "tests.bench.idle", topic]
    started = [
        subprocess.Popen([*command, f"{place.name}.plain-{at}"], stdout=subprocess.PIPE)
        for at in range(number)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.terminate()
            process.communicate()


async def _consume(topic: str, group: str) -> None:
    """Waits for records as the client library's first example does, all options left alone."""
    async with AIOKafkaConsumer(
        topic, **kafka_access().client_options(), group_id=group
    ) as consumer:
        print("ready", flush=True)
        async for _ in consumer:
            pass


if __name__ == "__main__":
    asyncio.run(_consume(*sys.argv[1:3]))
