"""A worker of the sample service in this process, and what it stored, committed and published."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.security import kafka_access
from shared.broker.topics import full_name, group_name
from shared.consumer.application import WorkerApplication, build_app
from tests.conftest import EngineOf
from tests.sample_service import PUBLISHED, SERVICE, TOPIC, SampleService

PATIENCE_SECONDS = 40.0
HOLDING_A_NAME = (
    "FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE"
    " datname = current_database())"
)


@asynccontextmanager
async def working(
    sample_service: SampleService,
) -> AsyncIterator[tuple[WorkerApplication, "asyncio.Task[int]"]]:
    """A worker of the sample service in this process, stopped at the end."""
    app = build_app(sample_service.service())
    task = asyncio.create_task(app.exit_code())
    try:
        yield app, task
    finally:
        app.exit()
        await task


async def until(
    what: str, holds: Callable[[], Awaitable[bool]], within: float = PATIENCE_SECONDS
) -> None:
    """Wait until a condition holds; fail with its description."""
    for _ in range(int(within / 0.05)):
        if await holds():
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"after {within:.0f} s still not: {what}")


async def publish(
    *values: bytes | None,
    partition: int = 0,
    headers: Any = (),
    topic: str = TOPIC,
    key: bytes = b"k",
) -> None:
    """Put records on one partition, all at once."""
    producer = AIOKafkaProducer(**kafka_access().client_options(), linger_ms=50)
    await producer.start()
    try:
        waiting = [
            await producer.send(
                full_name(topic), value, key=key, partition=partition, headers=list(headers)
            )
            for value in values
        ]
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


async def committed(topic: str = TOPIC) -> dict[int, int]:
    """What the group committed, by partition; partitions without a commit are left out."""
    admin = AIOKafkaAdminClient(**kafka_access().client_options())
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group_name(SERVICE, topic))
    finally:
        await admin.close()
    return {
        partition.partition: meta.offset for partition, meta in found.items() if meta.offset >= 0
    }


async def said(topic: str = PUBLISHED) -> list[bytes]:
    """The keys of all records of a topic."""
    consumer = AIOKafkaConsumer(**kafka_access().client_options())
    await consumer.start()
    try:
        partitions = [
            TopicPartition(full_name(topic), number)
            for number in sorted(
                consumer.partitions_for_topic(full_name(topic))
                or await _partitions(consumer, topic)
            )
        ]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[bytes] = []
        while any(
            [await consumer.position(partition) < ends[partition] for partition in partitions]
        ):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [record.key for record in records]
        return found
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.force_metadata_update()
    consumer.subscribe([full_name(topic)])
    while not consumer.partitions_for_topic(full_name(topic)):
        await asyncio.sleep(0.05)
    consumer.unsubscribe()
    return set(consumer.partitions_for_topic(full_name(topic)) or ())


async def kept(engine_of: EngineOf) -> list[str]:
    """The samples, in the order in which they were written."""
    async with engine_of("owner").connect() as connection:
        return list(
            (
                await connection.execute(
                    text("SELECT sample_id FROM fee_realizer.sample ORDER BY place")
                )
            ).scalars()
        )


def all_kept(engine_of: EngineOf, count: int) -> Callable[[], Awaitable[bool]]:
    """Whether this number of samples is stored."""

    async def holds() -> bool:
        return len(await kept(engine_of)) >= count

    return holds


def names(count: int, prefix: str = "t") -> list[str]:
    """Names of samples in order."""
    return [f"{prefix}{at:04}" for at in range(count)]


async def has_said(*keys: str, topic: str = PUBLISHED) -> bool:
    """Whether a topic has these keys."""
    return {key.encode() for key in keys} <= set(await said(topic))


async def take_at_most(topic: str, length: int) -> None:
    """From now on the brokers accept no larger batch on this topic."""
    await (admin := AIOKafkaAdminClient(**kafka_access().client_options())).start()
    await admin.alter_configs(
        [
            ConfigResource(
                ConfigResourceType.TOPIC,
                full_name(topic),
                configs={"max.message.bytes": str(length)},
            )
        ]
    )
    await admin.close()
    await asyncio.sleep(1)  # until the broker goes by it


async def holds_a_name(connection: AsyncConnection) -> bool:
    """Whether a worker on this database holds its replica name."""
    return bool(await connection.scalar(text(f"SELECT count(*) {HOLDING_A_NAME}")))
