"""How a consumer asks the broker for records, on a real Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.broker.topics import DOCUMENT_HELD, full_name
from shared.consumer.upstream import fetch_after_all_is_read

WAIT_MS = 4_000
UNREAD_FOR = 0.5
SOON = 2.0


@asynccontextmanager
async def two_partitions(kafka: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer at the ends of two partitions."""
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka, enable_auto_commit=False, fetch_max_wait_ms=WAIT_MS
    ) as consumer:
        partitions = [TopicPartition(full_name(DOCUMENT_HELD.name), number) for number in (0, 1)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        yield consumer


async def second_record_arrives(consumer: AIOKafkaConsumer, kafka: str) -> bool:
    """A record waits unread for a while; whether the next one of its partition comes soon."""
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        topic = full_name(DOCUMENT_HELD.name)
        await producer.send_and_wait(topic, b"1", partition=0)
        await asyncio.sleep(UNREAD_FOR)
        assert await consumer.getmany(timeout_ms=WAIT_MS)
        await producer.send_and_wait(topic, b"2", partition=0)
        return bool(await consumer.getmany(timeout_ms=SOON * 1000))


@pytest.mark.parametrize("helped", [True, False])
async def test_a_record_does_not_wait_for_other_partitions(
    stack: dict[str, str], helped: bool
) -> None:
    """A batch that takes long does not make the next record of its partition wait for the fetch
    of other partitions. Without our setting it does: when this fails, the setting can go."""
    kafka = stack["BACKOFFICE_KAFKA"]
    async with two_partitions(kafka) as consumer:
        if helped:
            fetch_after_all_is_read([consumer])
        assert await second_record_arrives(consumer, kafka) is helped
