"""Ingest end to end: from a published timesheet to an open pay line, through two workers.

The messages are on the topic before the work starts, for every way, and every way has its first
batch in memory when the clock starts. It stops when the last row is committed, for the workers
when the last line was seen open.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from shared.broker.topics import TIMESHEET_APPROVED
from shared.stack.workers import Worker
from tests.bench import bare, messages
from tests.bench.setup import BenchServers, Clock, Place, Took, until

SERVICES = ("fee_realizer", "invoicer")
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Ingest:
    """One round: the workers, and what they are compared with."""

    workers: Took
    bare: Took
    read_alone: Took
    quick_bare: Took
    quick_read_alone: Took
    one_by_one: Took
    memory: dict[str, int]


def ready_workers(
    place: Place, requirements: int, replicas: int = 1, **values: Any
) -> list[Worker]:
    """Workers that run and know the company and its requirements."""
    workers = place.start(*SERVICES, replicas=replicas, **values)
    asyncio.run(messages.publish_facts(requirements))

    async def known() -> bool:
        count = await place.value(
            "SELECT count(*) FROM fee_realizer.requirement WHERE known AND EXISTS (SELECT FROM"
            " fee_realizer.billing_company WHERE known)"
        )
        return bool(count == requirements)

    asyncio.run(until(known, "the requirements"))
    return workers


async def work_off(place: Place, clock: Clock, count: int, requirements: int) -> Took:
    """Publish all, then let the workers begin."""
    connection = await place.owner()
    try:
        gun = connection.transaction()
        # until it is committed no requirement can be read: each worker waits with its first batch
        await gun.start()
        await connection.execute("LOCK TABLE fee_realizer.requirement IN ACCESS EXCLUSIVE MODE")
        await messages.publish(TIMESHEET_APPROVED.name, messages.timesheets(0, count, requirements))
        begun = clock.now()
        await gun.commit()

        async def all_open() -> bool:
            return bool(
                await connection.fetchval("SELECT count(*) FROM invoicer.open_line") >= count
            )

        await until(all_open, f"{count} open lines", LOOK_SECONDS)
        return clock.took(count, begun)
    finally:
        await connection.close()


def measure(bench_servers: BenchServers, count: int, one_by_one: int, requirements: int) -> Ingest:
    """One round: all ways, one after the other, on the same topic."""
    with bench_servers.place("ingest") as place:
        workers = ready_workers(place, requirements)
        took = asyncio.run(work_off(place, bench_servers.clock(workers), count, requirements))
        memory = bench_servers.memory(workers)
        place.stop()
        loops = [
            asyncio.run(way(place, bench_servers.clock(), count, decode))
            for decode in (bare.EVENT, bare.FIELDS)
            for way in (bare.keyed_rows, bare.read_alone)
        ]
        orm = asyncio.run(bare.one_by_one(place, bench_servers.clock(), one_by_one, requirements))
        return Ingest(took, *loops, orm, memory)
