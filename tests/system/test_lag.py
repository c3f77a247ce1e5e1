"""Lag is the end of the partition minus the committed offset of the group."""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.broker.topics import full_name, group_name
from shared.consumer.lag import GroupLag, export, groups_of, lag_of
from shared.settings import settings
from shared.telemetry import REGISTRY


async def test_lag_counts_what_a_group_has_not_committed(topics: str) -> None:
    """Five records, two committed: the lag is three.

    A partition without a commit is -1 in the metric, and its lag is all its records.
    """
    topic, group = full_name("timesheet-approved"), group_name("fee_realizer", "timesheet-approved")
    async with AIOKafkaProducer(bootstrap_servers=settings().kafka) as producer:
        for at in range(5):
            await producer.send_and_wait(topic, str(at).encode(), partition=0)
        await producer.send_and_wait(topic, b"other", partition=1)
    async with AIOKafkaConsumer(
        bootstrap_servers=settings().kafka, group_id=group, enable_auto_commit=False
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.commit({TopicPartition(topic, 0): 2})
    found = [one for one in await lag_of(settings().kafka) if one.group == group]
    assert found == [GroupLag(group, topic, 0, 2, 5), GroupLag(group, topic, 1, -1, 1)]
    assert [(one.lag, one.behind) for one in found] == [(3, 3), (-1, 1)]
    export(found)
    labels = {"consumergroup": group, "topic": topic, "partition": "0"}
    assert REGISTRY.get_sample_value("kafka_consumergroup_lag", labels) == 3


async def test_what_kafka_has_deleted_is_no_lag(topics: str) -> None:
    """Three records, the first two deleted by retention: one is left to read.

    That holds for a group that committed nothing, and for one that stopped before the deletion.
    """
    topic, group = full_name("timesheet-approved"), group_name("fee_realizer", "timesheet-approved")
    partition = TopicPartition(topic, 0)
    async with AIOKafkaProducer(bootstrap_servers=settings().kafka) as producer:
        for at in range(3):
            await producer.send_and_wait(topic, str(at).encode(), partition=0)
    async with AIOKafkaConsumer(
        bootstrap_servers=settings().kafka, group_id=group, enable_auto_commit=False
    ) as consumer:
        consumer.assign([partition])
        await consumer.commit({partition: 1})
    admin = AIOKafkaAdminClient(bootstrap_servers=settings().kafka)
    await admin.start()
    await admin.delete_records({partition: RecordsToDelete(before_offset=2)})
    await admin.close()
    found = await lag_of(settings().kafka, {group: topic, "no worker's": topic})
    assert [(one.group, one.lag, one.behind) for one in found if one.partition == 0] == [
        ("no worker's", -1, 1),
        (group, 1, 1),
    ]


async def test_every_group_of_every_service_has_rows(topics: str) -> None:
    """Two partitions a topic: two rows, also before a first run."""
    found = await lag_of(settings().kafka)
    assert sorted({one.group for one in found}) == sorted(groups_of())
    assert len(found) == 2 * len(groups_of())


async def test_a_topic_that_is_not_there_has_no_rows(topics: str) -> None:
    """A missing topic is left out; the others are shown."""
    found = await lag_of(
        settings().kafka, {"no one": full_name("nothing-here"), **groups_of(["scheduler"])}
    )
    assert {one.topic for one in found} == {full_name("operator-commands")}
