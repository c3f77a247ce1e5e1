"""The one producer: idempotent, acknowledged by all replicas, every acknowledgement awaited.

Records carry CloudEvents 1.0 headers in binary mode; the value is plain JSON.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from aiokafka import AIOKafkaProducer

from shared.broker.topics import full_name
from shared.errors import Refused
from shared.events.wire import MESSAGE_BYTES
from shared.settings import settings


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be said: topic without prefix, key, JSON value. `event_id` is stable over repeats of the same announcement."""

    topic: str
    key: str
    value: bytes
    event_id: str

    def __post_init__(self) -> None:
        check_size(self.value, self.topic)


def check_size(value: bytes, topic: str) -> None:
    """Refuses a message over the limit; called when it is built, inside the transaction."""
    if len(value) > MESSAGE_BYTES:
        raise Refused(
            "message_too_large",
            f"a message for {topic} has {len(value):,} bytes; the limit is {MESSAGE_BYTES:,}",
            "split the document at its source",
        )


class Producer:
    """Says records and waits until the brokers have them."""

    def __init__(self, source: str, bootstrap: str = "") -> None:
        self._source = source.encode()
        self._bootstrap = bootstrap or settings().kafka
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connects."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            enable_idempotence=True,
            acks="all",
            linger_ms=1,
            max_batch_size=256 * 1024,
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
        """Sends what is buffered and closes."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def say(self, records: Sequence[Outgoing]) -> None:
        """Publishes all and awaits every acknowledgement. Raises KafkaError if one fails: then none may be taken as said."""
        if not records or self._producer is None:
            return
        now = datetime.now(UTC).isoformat().encode()  # noqa: TID251 - an instant for people, no rule reads it
        waiting = []
        for record in records:
            headers = [
                ("ce_specversion", b"1.0"),
                ("ce_id", record.event_id.encode()),
                ("ce_source", self._source),
                ("ce_type", f"backoffice.{record.topic}".encode()),
                ("ce_time", now),
                ("content-type", b"application/json"),
            ]
            waiting.append(await self._producer.send(full_name(record.topic), record.value, key=record.key.encode(), headers=headers))
        await asyncio.gather(*waiting)


def stable_id(*parts: object) -> str:
    """An event id that is the same whenever the same thing is announced."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "\x1f".join(str(part) for part in parts)))
