"""Consumer lag: committed offsets against the ends of the partitions, read from Kafka itself.

`backoffice lag` shows it. `shared.lag_exporter` exports it for all groups as
`kafka_consumergroup_lag` with kafka_exporter's labels, so that public dashboards and alert rules
work unchanged. A reader needs no worker and joins no group, so lag does not vanish with a worker.

The end of a partition is its last stable offset, because a consumer reads no further: what follows
it belongs to a transaction that is still open, or comes after the beginning of one.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared import telemetry
from shared.broker.security import KafkaAccess
from shared.broker.topics import CONSUMED, full_name, group_name

NOTHING_COMMITTED = -1
FETCHED_BYTES = 16 * 1024
"""Of a partition whose oldest unread record is looked at: one record is enough."""
FETCH_WAIT_MS = 100
WAIT_POLL_SECONDS = 0.3
OLDEST_SECONDS = 2.0
"""How long one reading waits for the oldest unread records of a group."""


@dataclass(frozen=True, slots=True)
class GroupLag:
    """One partition as one consumer group sees it.

    `lag` is the number of records behind the end; -1 while the group has committed nothing there.
    `begin` is the first offset that Kafka still keeps. `seconds` is the age of the oldest record
    that the group has still to read: 0 if there is none, None while it is not known.
    """

    group: str
    topic: str
    partition: int
    committed: int
    end: int
    begin: int = 0
    seconds: float | None = None

    @property
    def position(self) -> int:
        """The offset from which the group has still to read."""
        return max(self.committed, self.begin)

    @property
    def lag(self) -> int:
        """Records behind the end.

        It is not negative once something is committed, even if the topic was created again.
        """
        if self.committed == NOTHING_COMMITTED:
            return NOTHING_COMMITTED
        return max(0, self.end - self.position)

    @property
    def behind(self) -> int:
        """Records that the group has still to read: all while nothing is committed."""
        if self.committed == NOTHING_COMMITTED:
            return max(0, self.end - self.begin)
        return self.lag


def groups_of(services: Iterable[str] = CONSUMED) -> dict[str, str]:
    """Consumer group → topic, both with prefix, of some services; of all by default."""
    return {
        group_name(service, topic.name): full_name(topic.name)
        for service in services
        for topic in CONSUMED[service]
    }


class LagReader:
    """Reads lag from Kafka; keeps two connections open between the reads."""

    def __init__(self, kafka: KafkaAccess) -> None:
        self._admin = AIOKafkaAdminClient(**kafka.client_options())
        self._consumer = AIOKafkaConsumer(
            **kafka.client_options(),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=FETCHED_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        self._oldest: dict[tuple[TopicPartition, int], int] = {}
        self._coordinators: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._consumer.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def lag(self, groups: Mapping[str, str]) -> list[GroupLag]:
        """A row for each group and partition of its topic, in order; none for a missing topic."""
        described = await self._admin.describe_topics(sorted(set(groups.values())))
        partitions = {
            topic["topic"]: [
                TopicPartition(topic["topic"], one["partition"]) for one in topic["partitions"]
            ]
            for topic in described
            if not topic["error_code"]
        }
        committed = {
            group: await self._committed(group)
            for group, topic in groups.items()
            if topic in partitions
        }
        every = [one for of_topic in partitions.values() for one in of_topic]
        begins = await self._consumer.beginning_offsets(every) if every else {}
        ends = await self._consumer.end_offsets(every) if every else {}
        return [
            GroupLag(
                group,
                topic,
                one.partition,
                committed[group].get(one, NOTHING_COMMITTED),
                ends[one],
                begins[one],
            )
            for group, topic in sorted(groups.items())
            for one in sorted(partitions.get(topic, []))
        ]

    async def members(self) -> dict[str, int | None]:
        """How many members each group of the last `lag` has; None where Kafka does not say."""
        found: dict[str, int | None] = {}
        for one, coordinator in self._coordinators.items():
            # One at a time: aiokafka 0.14 cannot decode the answer about several groups.
            (answer,) = await self._admin.describe_consumer_groups([one], coordinator)
            ((error, group, _, _, _, members, *_),) = answer.groups
            found[group] = None if error else len(members)
        return found

    async def with_ages(self, lags: Iterable[GroupLag]) -> list[GroupLag]:
        """The same rows with `seconds`. A record is read once as long as it is the oldest unread.

        Nothing is read for a group at the end. Of a stopped partition whose next record cannot be
        decoded the age is not known.
        """
        aged, oldest = [], {}
        by_group: dict[str, list[GroupLag]] = {}
        for one in lags:
            by_group.setdefault(one.group, []).append(one)
        for rows in by_group.values():
            ends = {_place(row): row.end for row in rows if row.behind}
            known = {at: self._oldest[at] for at in ends if at in self._oldest}
            known |= await self._oldest_records({at: ends[at] for at in ends if at not in known})
            oldest.update(known)
            aged += [replace(row, seconds=_age(row, known.get(_place(row)))) for row in rows]
        self._oldest = oldest
        return aged

    async def _oldest_records(
        self, ends: Mapping[tuple[TopicPartition, int], int]
    ) -> dict[tuple[TopicPartition, int], int]:
        """The timestamp (ms since 1970) of the first record at or after each offset before its end.

        What is left of a partition may be no record but the marker of a transaction: then there is
        no timestamp.
        """
        found: dict[tuple[TopicPartition, int], int] = {}
        if not ends:
            return found
        missing = dict(ends.keys())
        self._consumer.assign(list(missing))
        for partition, offset in ends:
            self._consumer.seek(partition, offset)
        deadline = time.monotonic() + OLDEST_SECONDS
        while missing and time.monotonic() < deadline:
            polled = await self._consumer.getmany(
                *missing, timeout_ms=2 * FETCH_WAIT_MS, max_records=1
            )
            for partition, records in polled.items():
                for record in records:
                    found[partition, missing.pop(partition)] = record.timestamp
            for partition, offset in list(missing.items()):
                if await self._consumer.position(partition) >= ends[partition, offset]:
                    del missing[partition]
        # Or it would go on to fetch. After `unsubscribe`, `stop` of aiokafka 0.14 may never end.
        self._consumer.pause(*self._consumer.assignment())
        return found

    async def _committed(self, group: str) -> dict[TopicPartition, int]:
        try:
            coordinator = await self._admin.find_coordinator(group)
            self._coordinators[group] = coordinator
            found = await self._admin.list_consumer_group_offsets(group, coordinator)
        except AttributeError as error:
            # aiokafka 0.14 raises it where it wants to report the error of a partition.
            raise KafkaError(f"the coordinator of {group} cannot report its offsets now") from error
        return {one: at.offset for one, at in found.items()}


async def lag_of(kafka: KafkaAccess, groups: Mapping[str, str] | None = None) -> list[GroupLag]:
    """Read the lag of some groups, by default of all our groups, once."""
    async with LagReader(kafka) as reader:
        return await reader.lag(groups_of() if groups is None else groups)


async def wait_until_read(
    kafka: KafkaAccess,
    groups: Mapping[str, str] | None = None,
    *,
    seconds: float,
    until_now: bool = False,
) -> list[GroupLag]:
    """Wait until the groups, by default all of ours, have read everything, or the time is over.

    `until_now`: everything that is there now; what comes later is not waited for. Returns the last
    rows that were read: some are behind if the time was not enough.
    """
    groups = groups_of() if groups is None else groups
    deadline = time.monotonic() + seconds
    async with LagReader(kafka) as reader:
        found = await reader.lag(groups)
        ends = {(one.group, one.partition): one.end for one in found}
        while any(one.behind for one in found) and time.monotonic() < deadline:
            await asyncio.sleep(WAIT_POLL_SECONDS)
            found = await reader.lag(groups)
            if until_now:
                found = [
                    replace(one, end=ends.get((one.group, one.partition), one.begin))
                    for one in found
                ]
        return found


def _place(row: GroupLag) -> tuple[TopicPartition, int]:
    return TopicPartition(row.topic, row.partition), row.position


def _age(row: GroupLag, timestamp_ms: int | None) -> float | None:
    """Seconds since that timestamp; Kafka has -1 for a record without one."""
    if not row.behind:
        return 0.0
    if timestamp_ms is None or timestamp_ms < 0:
        return None
    return max(0.0, time.time() - timestamp_ms / 1000)


def export(lags: Iterable[GroupLag]) -> None:
    """Set the metrics of lag to these rows and no others."""
    telemetry.LAG.clear()
    telemetry.LAG_SECONDS.clear()
    for one in lags:
        labels = (one.group, one.topic, str(one.partition))
        telemetry.LAG.labels(*labels).set(one.behind)
        if one.seconds is not None:
            telemetry.LAG_SECONDS.labels(*labels).set(one.seconds)
