"""The parts of a worker, and the state that its consumers, loops and timers share.

`topic_consumer` processes its records, `loops` runs its background work, and `application` starts
and stops them in one process.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from aiokafka.errors import KafkaError, ProducerFenced
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import telemetry
from shared.broker.producer import Producer, ProducerFailed
from shared.consumer.processing import Subscription
from shared.consumer.published import PublishedMessages
from shared.consumer.records import Record
from shared.consumer.unit_of_work import BackgroundJob, MessageBuilder, UnitOfWork
from shared.database import engine_for, infrastructure_unavailable

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
MAX_DOUBLINGS = 8

Route = Callable[[AsyncEngine, Any, Any, Any], Awaitable[None]]
"""Answers an HTTP request (ASGI) with the service's database."""


class TaskEnded(Exception):
    """A task that runs as long as the worker ended without an exception, or was cancelled."""


@dataclass(frozen=True)
class Service:
    """The parts of a worker.

    `collect_metrics` sets the service's own metrics in each sweep. `timers` are its own loops, such
    as the scheduler's clock. `routes` maps the beginnings of HTTP paths to further routes.
    `closings` finish the service's own work when the worker stops. `description` is for the
    AsyncAPI document.
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


@dataclass
class Worker:
    """The state of one process of a service, and its response to errors.

    Creating one opens no connection and requires no setting. `failed_attempts` counts the failures
    in a row of each consumer and loop.
    """

    service: Service
    failed: BaseException | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    jobs_due: asyncio.Event = field(default_factory=asyncio.Event)
    failed_attempts: dict[str, int] = field(default_factory=dict)

    @cached_property
    def progress(self) -> telemetry.Progress:
        """The last progress of each consumer and loop."""
        return telemetry.Progress(self.service.name)

    @cached_property
    def unit_of_work(self) -> UnitOfWork:
        """What the transactions of this worker share."""
        name = self.service.name
        producer = Producer(f"/backoffice/{name}", PublishedMessages(name))
        return UnitOfWork(name, engine_for(name), producer, self.service.builders)

    def stop(self) -> None:
        """Ask the worker to stop after the current batches."""
        self.stopping.set()

    def succeeded(self, loop: str) -> None:
        """Record the progress of a consumer or loop."""
        self.failed_attempts.pop(loop, None)
        self.progress.mark(loop)

    async def pause_or_fail(
        self, error: BaseException, loop: str, records: Sequence[Record] = ()
    ) -> None:
        """Pause while Kafka or PostgreSQL is unavailable; stop the worker on any other error."""
        if not is_unavailable(error):
            self.fail(error, loop, records)
            return
        attempt = self.failed_attempts[loop] = self.failed_attempts.get(loop, 0) + 1
        telemetry.log().warning(
            "Kafka or PostgreSQL is unavailable; trying again",
            loop=loop,
            error=short(error),
            attempt=attempt,
        )
        longest = SHORTEST_PAUSE_SECONDS * 2 ** min(attempt, MAX_DOUBLINGS)
        pause = random.uniform(SHORTEST_PAUSE_SECONDS, min(LONGEST_PAUSE_SECONDS, longest))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), pause)

    def fail(self, error: BaseException, where: str, records: Sequence[Record] = ()) -> None:
        """Stop the worker because of an unexpected error."""
        self.failed = error
        self.stopping.set()
        ends = (records[0], records[-1]) if records else ()
        telemetry.log().error(
            "unexpected error: the worker exits and is restarted; no message is lost",
            where=where,
            first_and_last=[f"{each.topic}-{each.partition}@{each.offset}" for each in ends],
            exc_info=error,
        )

    def fail_when_it_ends(self, task: "asyncio.Task[Any]") -> None:
        """Stop the worker if this task ends before the worker stops, for whatever reason.

        Otherwise the worker would go on without a part of its work, and without a sign of it.
        """

        def ended(task: "asyncio.Task[Any]") -> None:
            error = None if task.cancelled() else task.exception()
            if not self.stopping.is_set():
                self.fail(error or TaskEnded(task.get_name()), task.get_name())

        task.add_done_callback(ended)


def is_unavailable(error: BaseException) -> bool:
    """Whether Kafka or PostgreSQL is unavailable, so that a later attempt can succeed."""
    if isinstance(error, ProducerFailed | ProducerFenced) or getattr(error, "fatal", False):
        return False
    return infrastructure_unavailable(error) or isinstance(error, KafkaError)


def short(error: BaseException) -> str:
    """The type and the first line of an error, for the log."""
    first_line, *_ = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {first_line}"[:200]
