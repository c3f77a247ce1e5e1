"""A worker process: its lanes on Kafka, its background jobs, its sweep, its health page; starts whole, stops clean, dies on a bug.

FastStream brings the records and nothing else: acknowledgement is manual on every subscriber, bodies stay bytes, headers stay apart.
"""

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, ProducerFenced
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from faststream.kafka.prometheus import KafkaPrometheusMiddleware
from faststream.middlewares import AckPolicy
from prometheus_client import make_asgi_app
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import faults, telemetry
from shared.broker.producer import Producer, ProducerFailed
from shared.broker.topics import full_name, group_name
from shared.consumer import garbage, headers, lag
from shared.consumer import tables as ledger
from shared.consumer.garbage import Collector
from shared.consumer.polling import (
    FETCH_WAIT_MS,
    Committer,
    Offsets,
    fetch_when_all_is_read,
    has_read_all,
    offsets_after,
    take,
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
from shared.consumer.records import Applied, Record
from shared.database import ReplicaNameLock, engine_for, infrastructure_unavailable, replica_name
from shared.errors import Unavailable
from shared.settings import settings

SESSION_TIMEOUT_MS = 10_000
REBALANCE_TIMEOUT_MS = 300_000
FETCH_BYTES = 8 * 1024 * 1024
BACK_OFF_SECONDS = (0.2, 10.0)
OUTBOX_READ_LIMIT = 5_000
STOP_SECONDS = 60
COMMIT_SECONDS = 10

Route = Callable[[AsyncEngine, Any, Any, Any], Awaitable[None]]
"""Answers a request (ASGI) with the books at hand."""


@dataclass(frozen=True)
class Service:
    """What a worker is made of. `collect_metrics` fills the service's own metrics; `timers` are loops of its own (the scheduler's clock).
    `routes`: what it answers on its HTTP port besides metrics and health, by the beginning of the path. `closings` end what it has in hand."""

    name: str
    subscriptions: Sequence[Subscription]
    builders: Mapping[str, MessageBuilder]
    jobs: Sequence[tuple[str, BackgroundJob]] = ()
    collect_metrics: Callable[[AsyncConnection], Awaitable[None]] | None = None
    timers: Sequence[Callable[["Worker"], Awaitable[None]]] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)
    closings: Sequence[Callable[[], Awaitable[None]]] = ()


class _Handover(ConsumerRebalanceListener):  # type: ignore[misc]
    """Partitions are given up only between batches, when the offsets of the last one are committed."""

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
    """One process of a service."""

    service: Service
    unit_of_work: UnitOfWork = field(init=False)
    progress: telemetry.Progress = field(init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _failed: BaseException | None = None
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _committers: dict[str, Committer] = field(default_factory=dict)
    _subscribers: dict[str, Any] = field(default_factory=dict)
    _back_off: dict[str, int] = field(default_factory=dict)
    _jobs_due: asyncio.Event = field(default_factory=asyncio.Event)
    _seen_unsaid: set[tuple[str, str]] = field(default_factory=set)
    _collector: Collector = field(default_factory=Collector)
    _lag: lag.LagReader = field(init=False)
    _keep_name: ReplicaNameLock = field(init=False)

    def __post_init__(self) -> None:
        engine: AsyncEngine = engine_for(self.service.name)
        self.unit_of_work = UnitOfWork(
            self.service.name,
            engine,
            Producer(f"/backoffice/{self.service.name}"),
            self.service.builders,
        )
        self.progress = telemetry.Progress(self.service.name)

    async def run(self) -> int:
        """Runs until a signal or a bug; the exit code."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stopping.set)
        async with contextlib.AsyncExitStack() as stack:
            self._keep_name = await stack.enter_async_context(
                replica_name("", self.service.name, settings().replica)
            )
            stack.push_async_callback(self.unit_of_work.engine.dispose)
            await stack.enter_async_context(self.unit_of_work.producer)
            await self._say_all()
            await self._run_jobs()
            broker = self._broker()
            stack.push_async_callback(broker.stop)
            await broker.start()
            fetch_when_all_is_read(each.consumer for each in self._subscribers.values())
            self._lag = await stack.enter_async_context(lag.LagReader(settings().kafka))
            tasks = [asyncio.create_task(work, name=name) for name, work in self._loops()]
            telemetry.log().info(
                "ready", topics=[subscription.topic for subscription in self.service.subscriptions]
            )
            await self._stopping.wait()
            await faults.point("in_shutdown")
            await self._finish(tasks)
        if self._failed is not None:
            telemetry.log().error("stopped by a bug", error=repr(self._failed))
            return 3
        return 0

    def stop(self) -> None:
        """Asks the worker to stop after the batches in hand."""
        self._stopping.set()

    def _loops(self) -> list[tuple[str, Any]]:
        loops: list[tuple[str, Any]] = [
            ("http", self._serve()),
            ("jobs", self._jobs_loop()),
            ("sweep", self._sweep_loop()),
        ]
        return loops + [
            (f"timer-{at}", self._guarded(timer)) for at, timer in enumerate(self.service.timers)
        ]

    async def _finish(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        for lock in self._locks.values():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lock.acquire(), STOP_SECONDS)
                lock.release()  # no batch begins any more; a rebalance that begins now waits for this lock, and the consumer's end for the rebalance
        await asyncio.gather(
            *(committer.settled(COMMIT_SECONDS) for committer in self._committers.values())
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(close() for close in self.service.closings), return_exceptions=True)

    # -- Kafka

    def _broker(self) -> KafkaBroker:
        headers.install()
        broker = KafkaBroker(
            settings().kafka,
            middlewares=[
                KafkaPrometheusMiddleware(registry=telemetry.REGISTRY, app_name=self.service.name)
            ],
            allow_auto_create_topics=False,
            logger=None,
        )
        for subscription in self.service.subscriptions:
            self._subscribe(broker, subscription)
        return broker

    def _subscribe(self, broker: KafkaBroker, subscription: Subscription) -> None:
        busy = self._locks.setdefault(subscription.topic, asyncio.Lock())
        bad_records = BadRecords(settings().bad_records_limit)
        self.progress.mark(subscription.topic)
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

        subscriber = broker.subscriber(
            full_name(subscription.topic),
            batch=True,
            group_id=group_name(self.service.name, subscription.topic),
            group_instance_id=f"{settings().replica}.{subscription.topic}",
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            max_records=batch_size(),
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=REBALANCE_TIMEOUT_MS * 2,
            listener=_Handover(busy, committer),
            parser=parse,
            decoder=decode,
            no_reply=True,
            title=f"{self.service.name}.{subscription.topic}",
        )

        subscriber.get_msg = partial(take, most=batch_size())  # type: ignore[method-assign]
        self._subscribers[subscription.topic] = subscriber

        @subscriber
        async def hear(message: Any) -> None:
            async with busy:
                if not self._stopping.is_set():
                    await self._batch(subscription, subscriber.consumer, message, bad_records)

    async def _batch(
        self, subscription: Subscription, consumer: Any, raw: Sequence[Any], bad_records: BadRecords
    ) -> None:
        """One polled batch; whatever happens, nothing escapes to the framework, which would commit past it."""
        faults.consuming(subscription.topic)
        owned = {
            partition.partition for partition in consumer.assignment()
        }  # of the one topic that this consumer hears
        polled = [record for record in raw if record.partition in owned]
        records = [
            Record(
                subscription.topic,
                record.partition,
                record.offset,
                record.key,
                record.value,
                tuple(record.headers),
            )
            for record in polled
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
            telemetry.log().warning(
                "the world is away",
                topic=subscription.topic,
                error=_short(error),
                attempt=self._back_off[subscription.topic],
            )
            await self._wait(subscription.topic)
            return
        self._back_off.pop(subscription.topic, None)
        self.progress.mark(subscription.topic)
        if jobs:
            self._jobs_due.set()

    async def _commit(self, consumer: Any, offsets: Offsets) -> None:
        """Commits the offsets of exactly these batches. A rebalance in between costs a repeat, which has no effect."""
        try:
            await consumer.commit(dict(offsets))
        except (CommitFailedError, IllegalStateError) as error:
            telemetry.log().info(
                "partitions moved on before the offsets were committed", error=_short(error)
            )

    def _commit_failed(self, topic: str, error: BaseException) -> bool:
        """Whether to try again."""
        if self._stopping.is_set():
            return False
        if not self._away(error):
            self._die(error, topic, [])
            return False
        telemetry.log().warning(
            "the offsets could not be committed, they will be", topic=topic, error=_short(error)
        )
        return True

    def _seek_back(self, consumer: Any, polled: Sequence[Any]) -> None:
        first: dict[TopicPartition, int] = {}
        for record in polled:
            partition = TopicPartition(record.topic, record.partition)
            first[partition] = min(first.get(partition, record.offset), record.offset)
        for partition, offset in first.items():
            with contextlib.suppress(IllegalStateError):
                consumer.seek(partition, offset)

    def _away(self, error: BaseException) -> bool:
        if isinstance(error, ProducerFailed | ProducerFenced) or getattr(error, "fatal", False):
            return False
        return infrastructure_unavailable(error) or isinstance(error, KafkaError)

    async def _wait(self, loop: str) -> None:
        low, high = BACK_OFF_SECONDS
        longest = min(high, low * 2 ** min(self._back_off.get(loop, 1), 8))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), random.uniform(low, longest))

    def _die(self, error: BaseException, where: str, records: Sequence[Record]) -> None:
        ids = (
            [
                f"{record.topic}-{record.partition}@{record.offset}"
                for record in (records[0], records[-1])
            ]
            if records
            else []
        )
        telemetry.log().error(
            "a bug: the worker stops, nothing is lost",
            where=where,
            first_and_last=ids,
            exc_info=error,
        )
        self._failed = error
        self._stopping.set()

    # -- what is left to say, background jobs, metrics

    async def _say_all(self) -> None:
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
                letters, outbox = await ledger.counts(connection, self.service.name)
                if self.service.collect_metrics is not None:
                    await self.service.collect_metrics(connection)
            await publish_pending(self.unit_of_work, sorted(ids & self._seen_unsaid))
            self._seen_unsaid = ids
            telemetry.DEAD_LETTERS.labels(self.service.name).set(letters)
            telemetry.OUTBOX.labels(self.service.name).set(outbox)
            lag.export(await self._lag.lag(groups))
            await self._mark_idle()
            self._collector.sweep()
            await self._keep_name()

        groups = {
            group_name(self.service.name, subscription.topic): full_name(subscription.topic)
            for subscription in self.service.subscriptions
        }
        await self._repeat("sweep", turn)

    async def _mark_idle(self) -> None:
        """A lane with nothing to read gets on, too: the sweep marks those whose consumer polls, and that wait for nothing."""
        for topic, lock in self._locks.items():
            busy = lock.locked() or topic in self.progress.paused or topic in self._back_off
            if not busy and await has_read_all(self._subscribers[topic].consumer):
                self.progress.mark(topic)

    async def _guarded(self, timer: Callable[["Worker"], Awaitable[None]]) -> None:
        await self._repeat("timer", lambda: timer(self))

    async def _repeat(self, name: str, turn: Callable[[], Awaitable[None]]) -> None:
        """A loop that outlives an absent world and dies of a bug."""
        while not self._stopping.is_set():
            try:
                await turn()
                self._back_off.pop(name, None)
                self.progress.mark(name)
            except Exception as error:
                if not self._away(error):
                    self._die(error, name, [])
                    return
                self._back_off[name] = self._back_off.get(name, 0) + 1
                telemetry.log().warning(
                    "the world is away",
                    loop=name,
                    error=_short(error),
                    attempt=self._back_off[name],
                )
                await self._wait(name)

    # -- health

    async def _serve(self) -> None:
        metrics = make_asgi_app(registry=telemetry.REGISTRY)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return
            if scope["path"] == "/metrics":
                telemetry.LAST_PROGRESS.labels(self.service.name).set(self.progress.age())
                await metrics(scope, receive, send)
                return
            for path, route in self.service.routes.items():
                if scope["path"].startswith(path):
                    await route(self.unit_of_work.engine, scope, receive, send)
                    return
            ready, message = (
                self.progress.ready()
                if scope["path"] == "/readyz"
                else (scope["path"] == "/livez", "the process is up")
            )
            await send(
                {
                    "type": "http.response.start",
                    "status": 200 if ready else 503 if scope["path"] == "/readyz" else 404,
                    "headers": [],
                }
            )
            await send({"type": "http.response.body", "body": message.encode()})

        config = uvicorn.Config(
            app,
            host=settings().http_host,
            port=settings().http_port,
            log_level="warning",
            lifespan="off",
            access_log=False,
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
        await server.serve()


async def _nothing(connection: AsyncConnection) -> Applied:
    return Applied()


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]


def main(service: Callable[[], Service]) -> None:
    """Entry point of a worker's `app`: exit 0 after a signal, 1 if the world refuses it, 3 after a bug."""
    built = service()
    telemetry.log_setup(built.name)
    garbage.prepare()
    try:
        sys.exit(asyncio.run(Worker(built).run()))
    except Unavailable as error:
        telemetry.log().error(error.message)
        sys.exit(1)
    except (KafkaError, OSError) as error:
        telemetry.log().error("Kafka or PostgreSQL does not answer at start", error=_short(error))
        sys.exit(1)
