"""The background work of a worker: outbox, background jobs, sweeps and timers."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import telemetry
from shared.consumer import stopped_partitions, tables
from shared.consumer.performance.garbage_collection import GarbageCollector
from shared.consumer.records import Applied, OutboxId
from shared.consumer.topic_consumer import TopicConsumer
from shared.consumer.worker import Worker
from shared.database import ReplicaNameLock
from shared.settings import settings

JOBS = "background jobs"
OUTBOX_READ_LIMIT = 5_000


async def publish_outbox(worker: Worker) -> None:
    """Publish everything that an earlier process stored and did not publish."""
    unit_of_work = worker.unit_of_work
    while True:
        async with unit_of_work.engine.connect() as connection:
            entries = await tables.outbox_entries(
                connection, worker.service.name, OUTBOX_READ_LIMIT
            )
        await unit_of_work.publish_pending(entries)
        await unit_of_work.transact(_delete_published)
        if len(entries) < OUTBOX_READ_LIMIT:
            return


async def run_jobs(worker: Worker) -> None:
    """Run each background job until it has no more work."""
    for _, job in worker.service.jobs:
        while (await worker.unit_of_work.transact(job)).jobs_due:
            worker.progress.mark(JOBS)
    worker.progress.mark(JOBS)


@dataclass
class Sweep:
    """What a worker does every few seconds.

    It publishes outbox entries that were left behind, updates the metrics, collects garbage, and
    checks that this process still owns the name of its replica.
    """

    worker: Worker
    consumers: Sequence[TopicConsumer]
    keep_name: ReplicaNameLock
    _left_behind: set[OutboxId] = field(default_factory=set)
    _garbage_collector: GarbageCollector = field(default_factory=GarbageCollector)

    async def run(self) -> None:
        """Wait, then sweep once."""
        await asyncio.sleep(settings().sweep_seconds)
        unit_of_work, service = self.worker.unit_of_work, self.worker.service
        if unit_of_work.published:
            await unit_of_work.transact(_delete_published)
        async with unit_of_work.engine.connect() as connection:
            entries = await tables.outbox_entries(connection, service.name, OUTBOX_READ_LIMIT)
            unpublished = set(entries) - unit_of_work.published
            dead_letters, outbox = await tables.count_entries(connection, service.name)
            stored_stops = await stopped_partitions.stored_stops(connection, service.name)
            if service.collect_metrics is not None:
                await service.collect_metrics(connection)
        # A new entry belongs to a transaction that is still publishing; one that the previous
        # sweep also saw was left behind.
        await unit_of_work.publish_pending(sorted(unpublished & self._left_behind))
        self._left_behind = unpublished
        telemetry.DEAD_LETTERS.labels(service.name).set(dead_letters)
        telemetry.OUTBOX.labels(service.name).set(outbox)
        for consumer in self.consumers:
            await consumer.check_running()
            await consumer.stops.sweep(stored_stops)
            await consumer.mark_if_idle()
        self._garbage_collector.collect()
        await self.keep_name()


def start_loops(worker: Worker, sweep: Sweep) -> list[asyncio.Task[None]]:
    """Start the loops of background jobs, sweeps and timers."""

    async def run_due_jobs() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(worker.jobs_due.wait(), settings().sweep_seconds)
        worker.jobs_due.clear()
        await run_jobs(worker)

    loops: list[tuple[str, str, Callable[[], Awaitable[Any]]]] = [
        ("jobs", JOBS, run_due_jobs),
        ("sweep", "sweep", sweep.run),
    ]
    for number, timer in enumerate(worker.service.timers):
        loops.append((f"timer-{number}", "timer", partial(timer, worker)))
    tasks = [
        asyncio.create_task(_repeat(worker, loop, turn), name=name) for name, loop, turn in loops
    ]
    for task in tasks:
        worker.fail_when_it_ends(task)
    return tasks


async def _repeat(worker: Worker, name: str, turn: Callable[[], Awaitable[Any]]) -> None:
    """Run `turn` until the worker stops."""
    while not worker.stopping.is_set():
        try:
            await turn()
        except Exception as error:
            await worker.pause_or_fail(error, name)
        else:
            worker.succeeded(name)


async def _delete_published(connection: AsyncConnection) -> Applied:
    """Do nothing else: every transaction deletes the entries that are published."""
    return Applied()
