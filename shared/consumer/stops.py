"""Partitions that a consumer does not read on, why, and how it reads them again.

A record batch that cannot be decoded stops its own partition; it is passed over by the command
`skip-records`. Too many unreadable records stop all partitions of the topic; they are read again
by the command `resume-consumer`, or when a probe finds that no unreadable record arrives any more.

The table `stopped_partition` of the service shows the stops to operators and brings the commands to
the replica that has the partition, which may be another one than the replica that answers them.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError

from shared import telemetry
from shared.broker.security import kafka_access
from shared.broker.topics import full_name
from shared.consumer import stopped_partitions
from shared.consumer.offsets import POSITION_TIMEOUT_SECONDS, Offsets
from shared.consumer.processing import BadRecords, Subscription
from shared.consumer.records import Record, Rejection
from shared.consumer.upstream import UndecodableBatch
from shared.consumer.worker import Worker
from shared.settings import settings

UNDECODABLE, TOO_MANY_UNREADABLE = "undecodable", "too_many_unreadable"
PROBED_RECORDS = 200
PROBE_POLL_MS = 1_000
PROBE_SECONDS = 30.0


@dataclass
class Stop:
    """Why a partition is not read on, and where.

    `offset` is the first that was not read. `following` is the first after what cannot be decoded.
    """

    partition: int
    offset: int
    following: int
    code: str
    message: str
    stored: bool = False


@dataclass
class Stops:
    """The stopped partitions of one consumer.

    `client` gives its Kafka client, `commit` takes offsets to commit.
    """

    worker: Worker
    subscription: Subscription
    bad_records: BadRecords
    client: Callable[[], Any]
    commit: Callable[[Offsets], None]
    by_partition: dict[int, Stop] = field(default_factory=dict)
    _seen_ends: dict[TopicPartition, int] | None = None
    _next_probe: float = 0.0

    @property
    def _topic(self) -> str:
        return self.subscription.topic

    def _of(self, partition: int) -> TopicPartition:
        return TopicPartition(full_name(self._topic), partition)

    # -- stopping

    def stop_undecodable(self, partition: int, batch: UndecodableBatch) -> None:
        """Stop one partition before a record batch that cannot be decoded."""
        stop = Stop(partition, batch.first, batch.following, UNDECODABLE, batch.reason)
        telemetry.log().error(
            "a record batch cannot be decoded: its partition is not read on",
            topic=self._topic,
            partition=partition,
            offset=stop.offset,
            reason=stop.message,
        )
        name = f"partition {partition} of {self._topic}"
        why = f"the record batch at offset {stop.offset} cannot be decoded: {stop.message}"
        self._add(stop, name, f"{why}; to pass over it: {self._skip_command(stop)}")
        with contextlib.suppress(IllegalStateError):
            self.client().seek(self._of(partition), stop.offset)
            self.client().pause(self._of(partition))

    async def stop_all(self, why: str) -> None:
        """Stop every partition, each where its next record is."""
        telemetry.log().error("paused", topic=self._topic, why=why)
        client = self.client()
        self._seen_ends, self._next_probe = None, 0.0
        self.worker.progress.paused[self._topic] = why
        client.pause(*client.assignment())
        for one in client.assignment():
            offset = 0
            with contextlib.suppress(IllegalStateError, TimeoutError):
                offset = await asyncio.wait_for(client.position(one), POSITION_TIMEOUT_SECONDS)
            if one.partition not in self.by_partition:
                stop = Stop(one.partition, offset, offset, TOO_MANY_UNREADABLE, why)
                self._add(stop, self._topic, why)

    def _add(self, stop: Stop, name: str, why: str) -> None:
        self.by_partition[stop.partition] = stop
        self.worker.progress.paused[name] = why

    def _skip_command(self, stop: Stop) -> str:
        return (
            f"`backoffice consumers skip {self._topic} {stop.partition} --to {stop.following}"
            f" --service {self.worker.service.name} --reason TEXT`"
        )

    def forget(self, partitions: Sequence[int] | None = None) -> None:
        """Forget the stops of some partitions, or of all before they are assigned anew."""
        gone = self.by_partition if partitions is None else partitions
        for number in list(gone):
            self.by_partition.pop(number, None)
            self.worker.progress.paused.pop(f"partition {number} of {self._topic}", None)
        if not self._stopped_by(TOO_MANY_UNREADABLE):
            self.worker.progress.paused.pop(self._topic, None)

    def _stopped_by(self, code: str) -> list[Stop]:
        return [stop for stop in self.by_partition.values() if stop.code == code]

    # -- every few seconds

    async def sweep(self, stored: Sequence[Any]) -> None:
        """Store new stops, carry out commands, probe. `stored` are the rows of this service."""
        for code in (UNDECODABLE, TOO_MANY_UNREADABLE):
            telemetry.STOPPED_PARTITIONS.labels(self.worker.service.name, self._topic, code).set(
                len(self._stopped_by(code))
            )
        of_topic = [row for row in stored if row.topic == self._topic]
        owned = {one.partition for one in self.client().assignment()}
        for row in of_topic:
            stop = self.by_partition.get(row.partition_no)
            if stop is not None and row.continue_at is not None:
                await self._continue(stop, row.continue_at)
            elif stop is None and row.partition_no in owned:
                await self._forget_passed(row)
        for stop in list(self.by_partition.values()):
            if not stop.stored:
                async with self.worker.unit_of_work.engine.begin() as connection:
                    await stopped_partitions.store(
                        connection,
                        self.worker.service.name,
                        self._topic,
                        asdict(stop),
                    )
                stop.stored = True
        if self._stopped_by(TOO_MANY_UNREADABLE) and time.monotonic() >= self._next_probe:
            await self._probe()

    async def _continue(self, stop: Stop, offset: int) -> None:
        """Read a partition again, from an offset that is not beyond its end."""
        client, partition = self.client(), self._of(stop.partition)
        ends = await client.end_offsets([partition])
        if stop.code == TOO_MANY_UNREADABLE:
            self.bad_records.tolerate({stop.partition: ends[partition]})
        target = max(stop.offset, min(offset, ends[partition]))
        with contextlib.suppress(IllegalStateError):
            if target > stop.offset:
                client.seek(partition, target)
                self.commit({partition: target})
            client.resume(partition)
        self.forget([stop.partition])
        telemetry.log().warning(
            "a stopped partition is read again",
            topic=self._topic,
            partition=stop.partition,
            stopped_at=stop.offset,
            offset=target,
        )
        await self._delete(stop.partition)

    async def _forget_passed(self, row: Any) -> None:
        """Delete the row of a stop that an earlier process left, if its offset was passed."""
        with contextlib.suppress(IllegalStateError, TimeoutError):
            position = await asyncio.wait_for(
                self.client().position(self._of(row.partition_no)), POSITION_TIMEOUT_SECONDS
            )
            if position > row.record_offset:
                await self._delete(row.partition_no)

    async def _delete(self, partition: int) -> None:
        async with self.worker.unit_of_work.engine.begin() as connection:
            await stopped_partitions.delete(
                connection, self.worker.service.name, self._topic, partition
            )

    # -- the probe

    async def _probe(self) -> None:
        """Read all again if no unreadable record arrives any more and the newest can be read."""
        self._next_probe = time.monotonic() + settings().bad_records_probe_seconds
        stops = self._stopped_by(TOO_MANY_UNREADABLE)
        async with _probe_consumer() as consumer:
            partitions = [self._of(stop.partition) for stop in stops]
            ends = await consumer.end_offsets(partitions)
            seen, self._seen_ends = self._seen_ends, ends
            if seen is None:
                return  # the first look only remembers where the partitions end
            consumer.assign(partitions)
            for stop in stops:
                one = self._of(stop.partition)
                first = max(stop.offset, ends[one] - PROBED_RECORDS)
                newest = await _newest(consumer, one, first, ends[one])
                bad = [offset for offset, record in newest.items() if self._is_bad(record)]
                if bad and (bad[-1] >= seen.get(one, 0) or bad[-1] == max(newest)):
                    return
        for stop in stops:
            await self._continue(stop, stop.offset)

    def _is_bad(self, raw: Any) -> bool:
        if isinstance(raw.value, UndecodableBatch):
            return True
        record = Record(self._topic, raw.partition, raw.offset, raw.key, raw.value)
        return isinstance(self.subscription.read(record), Rejection)


def _probe_consumer() -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **kafka_access().client_options(),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
    )


async def _newest(
    consumer: AIOKafkaConsumer, partition: TopicPartition, first: int, end: int
) -> dict[int, Any]:
    """The records of a partition from an offset to its end, by offset."""
    found: dict[int, Any] = {}
    consumer.seek(partition, first)
    until = time.monotonic() + PROBE_SECONDS
    while await consumer.position(partition) < end and time.monotonic() < until:
        polled = await consumer.getmany(partition, timeout_ms=PROBE_POLL_MS)
        found |= {record.offset: record for record in polled.get(partition, ())}
    return found
