"""Consumer lag: committed offsets against the ends of the partitions, read from Kafka itself.

`backoffice lag` shows it. Each worker exports it for its own groups as `kafka_consumergroup_lag`
with kafka_exporter's labels, so that public dashboards and alert rules work unchanged. A reader
needs no worker and joins no group.

The end of a partition is its last stable offset, because a consumer reads no further: what follows
it belongs to a transaction that is still open, or comes after the beginning of one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared import telemetry
from shared.broker.topics import CONSUMED, full_name, group_name

NOTHING_COMMITTED = -1


@dataclass(frozen=True, slots=True)
class GroupLag:
    """One partition as one consumer group sees it.

    `lag` is the number of records behind the end; -1 while the group has committed nothing there.
    `begin` is the first offset that Kafka still keeps.
    """

    group: str
    topic: str
    partition: int
    committed: int
    end: int
    begin: int = 0

    @property
    def lag(self) -> int:
        """Records behind the end.

        It is not negative once something is committed, even if the topic was created again.
        """
        if self.committed == NOTHING_COMMITTED:
            return NOTHING_COMMITTED
        return max(0, self.end - max(self.committed, self.begin))

    @property
    def behind(self) -> int:
        """Records that the group has still to read: all while nothing is committed."""
        if self.committed == NOTHING_COMMITTED:
            return self.end - self.begin
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

    def __init__(self, bootstrap: str) -> None:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        self._ends = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
        )

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._ends.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ends.stop()
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
        begins = await self._ends.beginning_offsets(every) if every else {}
        ends = await self._ends.end_offsets(every) if every else {}
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

    async def _committed(self, group: str) -> dict[TopicPartition, int]:
        try:
            found = await self._admin.list_consumer_group_offsets(group)
        except AttributeError as error:
            # aiokafka 0.14 raises it where it wants to report the error of a partition.
            raise KafkaError(f"the coordinator of {group} cannot report its offsets now") from error
        return {one: at.offset for one, at in found.items()}


async def lag_of(bootstrap: str, groups: Mapping[str, str] | None = None) -> list[GroupLag]:
    """Read the lag of some groups, by default of all our groups, once."""
    async with LagReader(bootstrap) as reader:
        return await reader.lag(groups_of() if groups is None else groups)


def export(lags: Iterable[GroupLag]) -> None:
    """Set the metrics of lag."""
    for one in lags:
        telemetry.LAG.labels(one.group, one.topic, str(one.partition)).set(one.lag)
