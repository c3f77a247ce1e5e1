"""Prove that a broker works: a record is read back and a group coordinator answers.

An open port proves nothing.
"""

import asyncio
import contextlib
import logging
import socket
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from shared.broker.security import KafkaAccess

Result = TypeVar("Result")
TOPIC = "backoffice-stack-probe"
RETENTION_MS = "600000"
ONE_TRY_SECONDS = 15.0
PAUSE_SECONDS = 0.1


def wait_until_it_works(
    kafka: KafkaAccess, timeout_seconds: float, still_alive: Callable[[], bool], writes: bool = True
) -> str | None:
    """Return None once the broker works, or else the last problem when time is up."""
    deadline = time.monotonic() + timeout_seconds
    work = _produce_and_consume if writes else _ask_for_metadata
    with quiet("aiokafka"):  # what it complains of while a broker starts is no news to anybody
        while True:
            wrong = None if not writes or _listens(str(kafka)) else f"nothing listens on {kafka}"
            wrong = wrong or _run(asyncio.wait_for(work(kafka), ONE_TRY_SECONDS))
            if wrong is None:
                return None
            if time.monotonic() > deadline or not still_alive():
                return wrong
            time.sleep(PAUSE_SECONDS)


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """Nothing is logged under this name meanwhile."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def _run(work: Coroutine[Any, Any, None]) -> str | None:
    async def attempt() -> str | None:
        try:
            await work
        except (KafkaError, OSError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"
        return None

    return finish(attempt())


def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it to its end in a thread of its own.

    The caller is synchronous but may itself run inside a running event loop.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _ask_for_metadata(kafka: KafkaAccess) -> None:
    admin = AIOKafkaAdminClient(**kafka.client_options())
    try:
        await admin.start()
        await admin.list_topics()
    finally:
        await admin.close()


async def _produce_and_consume(kafka: KafkaAccess) -> None:
    await _make_topic(kafka)
    token = uuid.uuid4().bytes
    partition = TopicPartition(TOPIC, 0)
    producer = AIOKafkaProducer(**kafka.client_options(), acks="all", request_timeout_ms=5_000)
    consumer = AIOKafkaConsumer(
        **kafka.client_options(),
        group_id=TOPIC,
        enable_auto_commit=False,
        isolation_level="read_committed",
        request_timeout_ms=5_000,
    )
    try:
        await producer.start()
        sent = await producer.send_and_wait(TOPIC, token, partition=0)
        await consumer.start()
        consumer.assign([partition])
        await consumer.committed(
            partition
        )  # makes the coordinator ready; commits nothing, so no group of ours shows in the lag
        consumer.seek(partition, sent.offset)
        record = await consumer.getone()
        if record.value != token:
            raise KafkaError(
                f"offset {sent.offset} of {TOPIC} holds another record than the one that was"
                " produced there"
            )
    finally:
        with contextlib.suppress(KafkaError):
            await producer.stop()
        with contextlib.suppress(KafkaError):
            await consumer.stop()


async def _make_topic(kafka: KafkaAccess) -> None:
    admin = AIOKafkaAdminClient(**kafka.client_options(), request_timeout_ms=5_000)
    try:
        await admin.start()
        topic = NewTopic(
            TOPIC,
            num_partitions=1,
            replication_factor=1,
            topic_configs={"retention.ms": RETENTION_MS},
        )
        with contextlib.suppress(TopicAlreadyExistsError):
            await admin.create_topics([topic])
    finally:
        await admin.close()
