"""A worker: consumes its topics batch by batch and runs its background jobs, timers and sweeps.

FastStream delivers the records and nothing else: acknowledgement is manual on every subscriber,
values stay bytes, headers are not interpreted. `application` makes a process of a worker.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, ProducerFenced
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from faststream.middlewares import AckPolicy
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import faults, telemetry
from shared.broker.producer import Producer, ProducerFailed
from shared.broker.topics import FLOW, full_name, group_name
from shared.consumer import lag, upstream
from shared.consumer import tables as ledger
from shared.consumer.garbage import Collector
from shared.consumer.polling import (
    Committer,
    Offsets,
    has_read_all,
    offsets_after,
)
from shared.consumer.protocol import (
    BackgroundJob,
    BadRecords,
    MessageBuilder,
    Subscription,
    TooManyBadRecords,
    UnitOfWork,
    batch_size,
    process_batch,
    publish_pending,
)
from shared.consumer.published import PublishedMessages
from shared.consumer.records import Applied, Record
from shared.database import ReplicaNameLock, engine_for, infrastructure_unavailable, replica_name
from shared.events.registry import EVENT_MODELS
from shared.settings import settings

SESSION_TIMEOUT_MS = 10_000
REBALANCE_TIMEOUT_MS = 300_000
FETCH_BYTES = 8 * 1024 * 1024
BACK_OFF_SECONDS = (0.2, 10.0)
OUTBOX_READ_LIMIT = 5_000
STOP_SECONDS = 60
COMMIT_SECONDS = 10

Route = Callable[[AsyncEngine, Any, Any, Any], Awaitable[None]]
"""Answers an HTTP request (ASGI) with the service's database at hand."""


@dataclass(frozen=True)
class Service:
    """The parts of a worker.

    `description` is for its AsyncAPI document. `collect_metrics` fills the service's own metrics; `timers`
    are loops of its own, such as the scheduler's clock. `routes` are what it answers on its HTTP
    port besides metrics and health, by the beginning of the path. `closings` end the work that it
    has in hand when it stops.
    """

    name: str
    subscriptions: Sequence[Subscription]
    builders: Mapping[str, MessageBuilder]
    jobs: Sequence[tuple[str, BackgroundJob]] = ()
    collect_metrics: Callable[[AsyncConnection], Awaitable[None]] | None = None
    timers: Sequence[Callable[["Worker"], Awaitable[None]]] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)
    closings: Sequence[Callable[[], Awaitable[None]]] = ()
    description: str = ""


class _Handover(ConsumerRebalanceListener):  # type: ignore[misc]
    """Gives partitions up only between batches, when the last batch's offsets are committed."""

    def __init__(self, busy: asyncio.Lock, committer: Committer) -> None:
        self._busy = busy
        self._committer = committer

    async def on_partitions_revoked(self, revoked: Any) -> None:
        async with self._busy:
            await self._committer.settled(COMMIT_SECONDS)
            self._committer.forget()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        pass


@dataclass
class Worker:
    """One process of a service. Making one opens no connection and requires no setting."""

    service: Service
    progress: telemetry.Progress = field(init=False)
    failed: BaseException | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _committers: dict[str, Committer] = field(default_factory=dict)
    _subscribers: dict[str, Any] = field(default_factory=dict)
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    _back_off: dict[str, int] = field(default_factory=dict)
    _jobs_due: asyncio.Event = field(default_factory=asyncio.Event)
    _seen_unsaid: set[tuple[str, str]] = field(default_factory=set)
    _collector: Collector = field(default_factory=Collector)
    _lag: lag.LagReader = field(init=False)
    _keep_name: ReplicaNameLock = field(init=False)

    def __post_init__(self) -> None:
        self.progress = telemetry.Progress(self.service.name)

    @cached_property
    def unit_of_work(self) -> UnitOfWork:
        """What the transactions of this worker share; made when it is first needed."""
        name = self.service.name
        producer = Producer(f"/backoffice/{name}", PublishedMessages(name))
        return UnitOfWork(name, engine_for(name), producer, self.service.builders)

    # -- the life of a worker, in this order

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Claims the name of the replica, connects, and finishes what an earlier process left.

        Raises `Unavailable` if another process has the name.
        """
        upstream.accept_any_header_name()
        async with contextlib.AsyncExitStack() as stack:
            name = replica_name("", self.service.name, settings().replica)
            self._keep_name = await stack.enter_async_context(name)
            stack.push_async_callback(self.unit_of_work.engine.dispose)
            await stack.enter_async_context(self.unit_of_work.producer)
            await self._say_all()
            await self._run_jobs()
            self._lag = await stack.enter_async_context(lag.LagReader(settings().kafka))
            yield

    async def begin(self) -> None:
        """Starts the loops; the consumers run already."""
        upstream.fetch_after_all_is_read(each.consumer for each in self._subscribers.values())
        topics = [subscription.topic for subscription in self.service.subscriptions]
        for topic in topics:
            self.progress.mark(topic)
        loops = [("jobs", self._jobs_loop()), ("sweep", self._sweep_loop())]
        for number, timer in enumerate(self.service.timers):
            loops.append((f"timer-{number}", self._guarded(timer)))
        self._tasks = [asyncio.create_task(work, name=name) for name, work in loops]
        telemetry.log().info("ready", topics=topics)

    def stop(self) -> None:
        """Asks the worker to stop after the batches in hand."""
        self.stopping.set()

    async def drain(self) -> None:
        """Ends the work in hand while the consumers are still members of their groups.

        A batch that began is finished and its offsets are committed; no other begins. The caller
        stops the consumers afterwards: an offset could not be committed without them.
        """
        self.stopping.set()
        await faults.point("in_shutdown")
        for lock in self._locks.values():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lock.acquire(), STOP_SECONDS)
                # Released at once: a rebalance that begins now waits for this lock, and the
                # consumer's end waits for the rebalance.
                lock.release()
        await asyncio.gather(*(each.settled(COMMIT_SECONDS) for each in self._committers.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(close() for close in self.service.closings), return_exceptions=True)

    # -- Kafka

    def subscribe(self, broker: KafkaBroker) -> None:
        """Registers a batch subscriber for each topic that the service consumes."""
        for subscription in self.service.subscriptions:
            self._subscribe(broker, subscription)

    def _subscribe(self, broker: KafkaBroker, subscription: Subscription) -> None:
        busy = self._locks.setdefault(subscription.topic, asyncio.Lock())
        bad_records = BadRecords(settings().bad_records_limit)
        committer = self._committers[subscription.topic] = Committer(
            lambda offsets: self._commit(subscriber.consumer, offsets),
            partial(self._commit_failed, subscription.topic),
        )

        async def parse(raw: Any) -> KafkaAckableMessage:
            return KafkaAckableMessage(
                body=[], headers={}, batch_headers=[], raw_message=raw, consumer=subscriber.consumer
            )

        async def decode(message: KafkaAckableMessage) -> Any:
            return message.raw_message

        (topic,) = (each for each in FLOW if each.name == subscription.topic)
        subscriber = broker.subscriber(
            full_name(subscription.topic),
            batch=True,
            group_id=group_name(self.service.name, subscription.topic),
            group_instance_id=f"{settings().replica}.{subscription.topic}",
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_records=batch_size(),
            fetch_max_wait_ms=upstream.FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=REBALANCE_TIMEOUT_MS * 2,
            listener=_Handover(busy, committer),
            parser=parse,
            decoder=decode,
            no_reply=True,
            title=subscription.topic,
            description=topic.documentation,
        )
        upstream.poll_without_sleeping(subscriber, batch_size())
        self._subscribers[subscription.topic] = subscriber
        payload = EVENT_MODELS[subscription.topic]

        @subscriber
        @upstream.documented_payload(payload | None if topic.compacted else payload)
        async def consume(message: Any) -> None:
            async with busy:
                if not self.stopping.is_set():
                    await self._batch(subscription, subscriber.consumer, message, bad_records)

    async def _batch(
        self, subscription: Subscription, consumer: Any, raw: Sequence[Any], bad_records: BadRecords
    ) -> None:
        """Processes one polled batch. No exception may reach the framework: it would swallow it,
        and the next commit would pass over the records of this batch."""
        faults.consuming(subscription.topic)
        # Each consumer reads one topic, so the number of a partition is enough.
        owned = {partition.partition for partition in consumer.assignment()}
        polled = [each for each in raw if each.partition in owned]
        records = [
            Record(
                subscription.topic,
                each.partition,
                each.offset,
                each.key,
                each.value,
                tuple(each.headers),
            )
            for each in polled
        ]
        try:
            jobs = await process_batch(self.unit_of_work, subscription, records, bad_records)
            await faults.point("before_offset_commit")
            self._committers[subscription.topic].add(offsets_after(polled))
        except TooManyBadRecords as error:
            self._seek_back(consumer, polled)
            consumer.pause(*consumer.assignment())
            self.progress.paused[subscription.topic] = str(error)
            telemetry.log().error("paused", topic=subscription.topic, why=str(error))
            return
        except Exception as error:
            self._seek_back(consumer, polled)
            if not self._away(error):
                self._die(error, subscription.topic, records)
                return
            self._back_off[subscription.topic] = self._back_off.get(subscription.topic, 0) + 1
            self._log_unavailable(error, subscription.topic)
            await self._wait(subscription.topic)
            return
        self._back_off.pop(subscription.topic, None)
        self.progress.mark(subscription.topic)
        if jobs:
            self._jobs_due.set()

    async def _commit(self, consumer: Any, offsets: Offsets) -> None:
        """Commits the offsets of exactly these batches.

        If a rebalance took the partitions away before, the records are processed again by their
        new owner, which has no effect.
        """
        try:
            await consumer.commit(dict(offsets))
        except (CommitFailedError, IllegalStateError) as error:
            telemetry.log().info(
                "the partitions were reassigned before their offsets were committed",
                error=_short(error),
            )

    def _commit_failed(self, topic: str, error: BaseException) -> bool:
        """Whether to try again."""
        if self.stopping.is_set():
            return False
        if not self._away(error):
            self._die(error, topic, [])
            return False
        telemetry.log().warning(
            "committing offsets failed and is tried again", topic=topic, error=_short(error)
        )
        return True

    def _seek_back(self, consumer: Any, polled: Sequence[Any]) -> None:
        """Makes the consumer read these records again."""
        first: dict[TopicPartition, int] = {}
        for record in polled:
            partition = TopicPartition(record.topic, record.partition)
            first[partition] = min(first.get(partition, record.offset), record.offset)
        for partition, offset in first.items():
            with contextlib.suppress(IllegalStateError):
                consumer.seek(partition, offset)

    def _away(self, error: BaseException) -> bool:
        """Whether Kafka or PostgreSQL is unavailable, so that trying again later can help."""
        if isinstance(error, ProducerFailed | ProducerFenced) or getattr(error, "fatal", False):
            return False
        return infrastructure_unavailable(error) or isinstance(error, KafkaError)

    def _log_unavailable(self, error: BaseException, loop: str) -> None:
        telemetry.log().warning(
            "Kafka or PostgreSQL is unavailable; trying again",
            loop=loop,
            error=_short(error),
            attempt=self._back_off[loop],
        )

    async def _wait(self, loop: str) -> None:
        low, high = BACK_OFF_SECONDS
        longest = min(high, low * 2 ** min(self._back_off.get(loop, 1), 8))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), random.uniform(low, longest))

    def _die(self, error: BaseException, where: str, records: Sequence[Record]) -> None:
        ends = (records[0], records[-1]) if records else ()
        telemetry.log().error(
            "unexpected error: the worker exits and is restarted; no message is lost",
            where=where,
            first_and_last=[f"{each.topic}-{each.partition}@{each.offset}" for each in ends],
            exc_info=error,
        )
        self.failed = error
        self.stopping.set()

    # -- the outbox, background jobs, metrics

    async def _say_all(self) -> None:
        """Publishes all that an earlier process stored and did not publish."""
        while True:
            async with self.unit_of_work.engine.connect() as connection:
                ids = await ledger.outbox_entries(connection, self.service.name, OUTBOX_READ_LIMIT)
            await publish_pending(self.unit_of_work, ids)
            await self.unit_of_work.transact(_nothing)
            if len(ids) < OUTBOX_READ_LIMIT:
                return

    async def _run_jobs(self) -> None:
        for _, job in self.service.jobs:
            while (await self.unit_of_work.transact(job)).jobs_due:
                self.progress.mark("background jobs")
        self.progress.mark("background jobs")

    async def _jobs_loop(self) -> None:
        async def turn() -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._jobs_due.wait(), settings().sweep_seconds)
            self._jobs_due.clear()
            await self._run_jobs()

        await self._repeat("background jobs", turn)

    async def _sweep_loop(self) -> None:
        async def turn() -> None:
            await asyncio.sleep(settings().sweep_seconds)
            if self.unit_of_work.published:
                await self.unit_of_work.transact(_nothing)
            async with self.unit_of_work.engine.connect() as connection:
                ids = (
                    set(
                        await ledger.outbox_entries(
                            connection, self.service.name, OUTBOX_READ_LIMIT
                        )
                    )
                    - self.unit_of_work.published
                )
                dead_letters, outbox = await ledger.counts(connection, self.service.name)
                if self.service.collect_metrics is not None:
                    await self.service.collect_metrics(connection)
            await publish_pending(self.unit_of_work, sorted(ids & self._seen_unsaid))
            self._seen_unsaid = ids
            telemetry.DEAD_LETTERS.labels(self.service.name).set(dead_letters)
            telemetry.OUTBOX.labels(self.service.name).set(outbox)
            lag.export(await self._lag.lag(groups))
            await self._mark_idle()
            self._collector.sweep()
            await self._keep_name()

        topics = [subscription.topic for subscription in self.service.subscriptions]
        groups = {group_name(self.service.name, topic): full_name(topic) for topic in topics}
        await self._repeat("sweep", turn)

    async def _mark_idle(self) -> None:
        """Counts a consumer that has nothing to read as progressing, if it polls and waits for
        nothing: an idle topic must not make the worker look stuck."""
        for topic, lock in self._locks.items():
            busy = lock.locked() or topic in self.progress.paused or topic in self._back_off
            if not busy and await has_read_all(self._subscribers[topic].consumer):
                self.progress.mark(topic)

    async def _guarded(self, timer: Callable[["Worker"], Awaitable[None]]) -> None:
        await self._repeat("timer", lambda: timer(self))

    async def _repeat(self, name: str, turn: Callable[[], Awaitable[None]]) -> None:
        """Runs a loop: it waits while Kafka or PostgreSQL is unavailable, and ends the worker on
        an unexpected error."""
        while not self.stopping.is_set():
            try:
                await turn()
                self._back_off.pop(name, None)
                self.progress.mark(name)
            except Exception as error:
                if not self._away(error):
                    self._die(error, name, [])
                    return
                self._back_off[name] = self._back_off.get(name, 0) + 1
                self._log_unavailable(error, name)
                await self._wait(name)


async def _nothing(connection: AsyncConnection) -> Applied:
    return Applied()


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
