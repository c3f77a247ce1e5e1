"""The producer of the workers: idempotent, acknowledged by all replicas, every acknowledgement
awaited. (The console has its own, in `services/console/actions/kafka_client.py`.)

Records carry CloudEvents 1.0 headers in binary mode; the value is plain JSON.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.broker.security import kafka_access
from shared.broker.topics import full_name
from shared.events.field_types import MESSAGE_BYTES

BATCH_BYTES = 700_000
"""Limit of a batch of one partition: a broker refuses a batch over the limit of a message."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to publish: topic without prefix, key, JSON value.

    `event_id` stays the same when the same message is published again.
    """

    topic: str
    key: str
    value: bytes
    event_id: str

    def __post_init__(self) -> None:
        """Fail on a message over the limit.

        It would stop the worker, so the rules that decide what is stored keep every kind of message
        under the limit: they hold a source document, refuse a batch, and shorten a result.
        """
        if len(self.value) > MESSAGE_BYTES:
            raise ValueError(
                f"a message for {self.topic} has {len(self.value):,} bytes;"
                f" the limit is {MESSAGE_BYTES:,}"
            )


class ProducerFailed(KafkaError):  # type: ignore[misc]
    """The brokers refused a batch, so this producer cannot publish on that partition any more.

    An idempotent producer numbers its batches, and brokers refuse every batch after a missing one.
    The process must restart with a new producer.
    """


PublishObserver = Callable[[str, int, float, BaseException | None], None]
"""Is called for each topic of a call with its full name, messages, seconds, and any error."""


class Producer:
    """Publishes messages and waits until the brokers have them."""

    def __init__(self, source: str, observe: PublishObserver | None = None) -> None:
        self._source = source.encode()
        self._observe = observe
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect to Kafka."""
        producer = AIOKafkaProducer(
            **kafka_access().client_options(),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,  # messages that are published together are batched in `_send`
            max_batch_size=BATCH_BYTES,
            max_request_size=MESSAGE_BYTES + 100_000,
            request_timeout_ms=30_000,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Send what is buffered and disconnect."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def publish(self, records: Sequence[OutgoingMessage]) -> None:
        """Publish all messages and await every acknowledgement, however long it takes.

        Raises KafkaError if one fails: then all must be published again. Raises `ProducerFailed` if
        this producer cannot publish any more.
        """
        if not records or self._producer is None:
            return
        by_topic: dict[str, list[OutgoingMessage]] = {}
        for record in records:
            by_topic.setdefault(record.topic, []).append(record)
        began, failed = time.perf_counter(), None
        try:
            await self._send_all(self._producer, by_topic)
        except BaseException as error:
            failed = error
            raise
        finally:
            if self._observe is not None:
                for topic, of_topic in by_topic.items():
                    seconds = time.perf_counter() - began
                    self._observe(full_name(topic), len(of_topic), seconds, failed)

    async def _send_all(
        self, producer: AIOKafkaProducer, by_topic: dict[str, list[OutgoingMessage]]
    ) -> None:
        waiting: list[Any] = []
        for topic, of_topic in by_topic.items():
            waiting += await self._send(producer, topic, of_topic)
        try:
            await asyncio.gather(*waiting)
        except KafkaError as error:
            raise ProducerFailed(f"the brokers refused a batch: {error!r}") from error

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, records: Sequence[OutgoingMessage]
    ) -> list[Any]:
        """Send the messages of a topic in whole batches, in order within each partition.

        Returns the futures of their acknowledgements.
        """
        name = full_name(topic)
        partitions = sorted(await producer.partitions_for(name))
        now = datetime.now(UTC)  # noqa: TID251 - no rule reads it
        version, kind = ("ce_specversion", b"1.0"), ("ce_type", f"backoffice.{topic}".encode())
        source, at = ("ce_source", self._source), ("ce_time", now.isoformat().encode())
        content = ("content-type", b"application/json")
        waiting: list[Any] = []
        batches: dict[int, Any] = {}
        for record in records:
            key = record.key.encode()
            partition = partitions[partition_of(key, len(partitions))]
            values = {"timestamp": None, "key": key, "value": record.value}
            headers = [version, ("ce_id", record.event_id.encode()), source, kind, at, content]
            batch = batches.get(partition)
            if batch is None or batch.append(**values, headers=headers) is None:
                if batch is not None:
                    waiting.append(await producer.send_batch(batch, name, partition=partition))
                batch = batches[partition] = producer.create_batch()
                batch.append(**values, headers=headers)
        for partition, batch in batches.items():
            batch.close()
            waiting.append(await producer.send_batch(batch, name, partition=partition))
        return waiting


_NAMES = hashlib.sha1(uuid.NAMESPACE_OID.bytes, usedforsecurity=False)


def stable_id(*parts: object) -> str:
    """An event id that stays the same when the same message is published again.

    It is a UUID of version 5 in the namespace of OIDs.
    """
    found = _NAMES.copy()
    found.update("\x1f".join(map(str, parts)).encode())
    octets = bytearray(found.digest()[:16])
    octets[6] = octets[6] & 0x0F | 0x50
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that the Java client and aiokafka choose for a key: murmur2 modulo partitions.

    librdkafka does so with `partitioner=murmur2_random`.
    """
    length = len(key)
    found = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        part = int.from_bytes(key[at : at + 4], "little") * 0x5BD1E995 & 0xFFFFFFFF
        found = found * 0x5BD1E995 & 0xFFFFFFFF ^ (part ^ part >> 24) * 0x5BD1E995 & 0xFFFFFFFF
    if whole != length:
        found = (found ^ int.from_bytes(key[whole:], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    found = (found ^ found >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return ((found ^ found >> 15) & 0x7FFFFFFF) % partitions
