"""Consume one topic: process each polled batch and commit its offsets afterwards.

FastStream only delivers records. Acknowledgement is manual, values stay bytes, and headers are not
interpreted.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from faststream.middlewares import AckPolicy

from shared import faults, telemetry
from shared.broker.topics import FLOW, full_name, group_name
from shared.consumer import upstream
from shared.consumer.offsets import (
    Offsets,
    first_offsets,
    offsets_after,
    positions_if_all_is_read,
)
from shared.consumer.performance.overlapped_commits import OffsetCommitter
from shared.consumer.processing import (
    BadRecords,
    Subscription,
    TooManyBadRecords,
    process_batch,
)
from shared.consumer.records import Record
from shared.consumer.stops import Stops
from shared.consumer.worker import TaskEnded, Worker, is_unavailable, short
from shared.events.registry import EVENT_MODELS
from shared.settings import settings

SESSION_TIMEOUT_MS = 10_000
REBALANCE_TIMEOUT_MS = 300_000
FETCH_BYTES = 8 * 1024 * 1024
STOP_SECONDS = 60
COMMIT_SECONDS = 10
RESTARTED_SECONDS = 1
LOG_APPEND_TIME = 1
"""The type of a timestamp that the broker gave."""


class TopicConsumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """The batch subscriber of one subscription, registered on the broker when it is created."""

    def __init__(self, worker: Worker, subscription: Subscription, broker: KafkaBroker) -> None:
        self.worker = worker
        self.subscription = subscription
        self.topic = subscription.topic
        self.busy = asyncio.Lock()
        self._bad_records = BadRecords(settings().bad_records_limit)
        self._committer = OffsetCommitter(self._commit, self._should_retry_commit)
        self.stops = Stops(
            worker, subscription, self._bad_records, lambda: self.client, self._committer.add
        )
        self._polls = 0
        self._in_hand = False
        self._subscriber = self._subscribe(broker)

    def _subscribe(self, broker: KafkaBroker) -> Any:
        (topic,) = (each for each in FLOW if each.name == self.topic)
        max_records = settings().max_batch_records
        subscriber = broker.subscriber(
            full_name(self.topic),
            batch=True,
            group_id=group_name(self.worker.service.name, self.topic),
            group_instance_id=f"{settings().replica}.{self.topic}",
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            ack_policy=AckPolicy.MANUAL,
            max_records=max_records,
            fetch_max_wait_ms=upstream.FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=REBALANCE_TIMEOUT_MS * 2,
            listener=self,
            parser=self._parse,
            decoder=_raw_message,
            no_reply=True,
            title=self.topic,
            description=topic.documentation,
        )
        upstream.poll_without_sleeping(
            subscriber, max_records, on_records=self._on_records, on_error=self._on_error
        )
        payload = EVENT_MODELS[self.topic]

        @subscriber
        @upstream.documented_payload(payload | None if topic.compacted else payload)
        async def consume(message: Any) -> None:
            async with self.busy:
                if not self.worker.stopping.is_set():
                    await self.process(message)

        return subscriber

    async def _parse(self, raw: Any) -> KafkaAckableMessage:
        return KafkaAckableMessage(
            body=[], headers={}, batch_headers=[], raw_message=raw, consumer=self.client
        )

    @property
    def client(self) -> Any:
        """The Kafka client of this subscription; None before the broker is started."""
        return self._subscriber.consumer

    def _on_records(self) -> None:
        """Note that the client's position is beyond records that are not processed yet."""
        self._polls += 1
        self._in_hand = True

    def _on_error(self, error: Exception) -> None:
        """Log an error of the client. FastStream logs none; it polls again after a Kafka error."""
        if is_unavailable(error):
            telemetry.log().warning(
                "polling failed and is tried again", topic=self.topic, error=short(error)
            )
        else:
            self.worker.fail(error, self.topic)

    async def process(self, raw: Sequence[Any]) -> None:
        """Process one polled batch.

        No exception may reach FastStream: it would ignore it, and the next commit would pass over
        the records of this batch.
        """
        faults.consuming(self.topic)
        worker, client, topic = self.worker, self.client, self.topic
        # The consumer reads one topic, so the number identifies a partition.
        owned = {partition.partition for partition in client.assignment()}
        polled = [each for each in raw if each.partition in owned]
        readable, undecodable = _without_undecodable(polled)
        records = [
            Record(
                topic,
                each.partition,
                each.offset,
                each.key,
                each.value,
                tuple(each.headers),
                each.timestamp if each.timestamp_type == LOG_APPEND_TIME else None,
            )
            for each in readable
        ]
        try:
            jobs_due = await process_batch(
                worker.unit_of_work, self.subscription, records, self._bad_records
            )
            await faults.point("before_offset_commit")
            self._committer.add(offsets_after(readable))
            for partition, batch in undecodable.items():
                self.stops.stop_undecodable(partition, batch)
        except TooManyBadRecords as error:
            self._seek_back(polled)
            await self.stops.stop_all(str(error))
        except Exception as error:
            self._seek_back(polled)
            await worker.pause_or_fail(error, topic, records)
        else:
            worker.succeeded(topic)
            if jobs_due:
                worker.jobs_due.set()
        finally:
            self._in_hand = False

    def _seek_back(self, polled: Sequence[Any]) -> None:
        """Make the client poll these records again."""
        for partition, offset in first_offsets(polled).items():
            with contextlib.suppress(IllegalStateError):
                self.client.seek(partition, offset)

    # -- offsets

    async def _commit(self, offsets: Offsets) -> None:
        """Commit the offsets of exactly these batches.

        If a rebalance took the partitions away before, their new owner processes the records again
        without effect.
        """
        try:
            await self.client.commit(dict(offsets))
        except (CommitFailedError, IllegalStateError) as error:
            telemetry.log().info(
                "the partitions were reassigned before their offsets were committed",
                error=short(error),
            )

    def _should_retry_commit(self, error: BaseException) -> bool:
        if self.worker.stopping.is_set():
            return False
        if not is_unavailable(error):
            self.worker.fail(error, self.topic)
            return False
        telemetry.log().warning(
            "committing offsets failed and is tried again", topic=self.topic, error=short(error)
        )
        return True

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Release partitions only between batches, after the last batch's offsets are committed."""
        async with self.busy:
            await self._committer.wait(COMMIT_SECONDS)
            self._committer.discard()
            self.stops.forget()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Do nothing: the client begins at the committed offsets."""

    # -- the end, and health

    async def finish_batch(self) -> None:
        """Wait for the current batch; no other begins once the worker is stopping."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.busy.acquire(), STOP_SECONDS)
            # Released immediately: a rebalance that begins now waits for this lock, and the end of
            # the client waits for the rebalance.
            self.busy.release()

    async def finish_commits(self) -> None:
        """Wait until the offsets of processed batches are committed."""
        await self._committer.wait(COMMIT_SECONDS)

    async def check_running(self) -> None:
        """Raise `TaskEnded` if nothing polls any more: FastStream restarts only what raised."""
        tasks = self._subscriber.tasks
        if all(task.done() for task in tasks):
            await asyncio.sleep(RESTARTED_SECONDS)
        if all(task.done() for task in tasks) and not self.worker.stopping.is_set():
            raise TaskEnded(self.topic)

    async def mark_if_idle(self) -> None:
        """Count a consumer that polls and has nothing to read as progressing.

        Otherwise an idle topic would make the worker look stuck.
        """
        worker, topic = self.worker, self.topic
        if topic in worker.progress.paused or topic in worker.failed_attempts:
            return
        if self.busy.locked() or self._in_hand:
            return
        committed = self._committer.committed
        for partition in self.client.assignment() - committed.keys():
            committed[partition] = await self.client.committed(partition) or 0
        polls = self._polls
        positions = await positions_if_all_is_read(self.client, self.stops.by_partition)
        if positions is not None and self._polls == polls:
            worker.progress.mark(topic)
            # Between the last record and the position are markers of transactions, aborted
            # records, or records that compaction removed. The lag counts them until they are
            # committed.
            self._committer.add(
                {one: at for one, at in positions.items() if at > committed.get(one, at)}
            )


def _without_undecodable(polled: Sequence[Any]) -> tuple[Sequence[Any], dict[int, Any]]:
    """The records up to a batch that cannot be decoded, and these batches by partition."""
    undecodable: dict[int, Any] = {}
    for each in polled:
        if type(each.value) is upstream.UndecodableBatch:
            undecodable.setdefault(each.partition, each.value)
    if not undecodable:
        return polled, undecodable
    return [
        each
        for each in polled
        if each.partition not in undecodable or each.offset < undecodable[each.partition].first
    ], undecodable


async def _raw_message(message: KafkaAckableMessage) -> Any:
    return message.raw_message
