"""How a consumer asks the broker for records, on a real Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.broker.security import kafka_access
from shared.broker.topics import COMMAND_RESULTS, DOCUMENT_HELD, OPERATOR_COMMANDS, full_name
from shared.consumer.upstream import fetch_after_all_is_read
from tests import builders
from tests.conftest import EngineOf
from tests.handlers.sample_worker import has_said, publish, until, working
from tests.sample_service import SampleService, make_table

WAIT_MS = 4_000
UNREAD_FOR = 0.5
SOON = 2.0


@asynccontextmanager
async def two_partitions() -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer at the ends of two partitions."""
    async with AIOKafkaConsumer(
        **kafka_access().client_options(), enable_auto_commit=False, fetch_max_wait_ms=WAIT_MS
    ) as consumer:
        partitions = [TopicPartition(full_name(DOCUMENT_HELD.name), number) for number in (0, 1)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        yield consumer


async def second_record_arrives(consumer: AIOKafkaConsumer) -> bool:
    """A record waits unread for a while; whether the next one of its partition comes soon."""
    async with AIOKafkaProducer(**kafka_access().client_options()) as producer:
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
    async with two_partitions() as consumer:
        if helped:
            fetch_after_all_is_read([consumer])
        assert await second_record_arrives(consumer) is helped


async def test_a_command_is_answered_on_any_partition(
    stack: dict[str, str], engine_of: EngineOf
) -> None:
    """Clients with another partitioner put a key on another partition; both commands are answered.

    The key says nothing either.
    """
    await make_table(engine_of("owner"))
    for partition in (0, 1):
        command = builders.command(
            "set-catalog-item",
            command_id=f"c{partition}",
            item_id=f"item-{partition}",
            name="n",
            percent_of_salary="20",
        )
        body = command.model_dump_json().encode()
        await publish(body, topic=OPERATOR_COMMANDS.name, partition=partition, key=b"same")
    async with working(SampleService()):
        await until("both answers", lambda: has_said("c0", "c1", topic=COMMAND_RESULTS.name))
