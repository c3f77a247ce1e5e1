"""Each change that `shared/consumer/upstream.py` makes to a library is still needed.

A test that fails here says that the library no longer has the problem: delete the change with it.
"""

import time
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords
from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI
from pydantic import BaseModel

from shared.consumer import upstream

TIMEOUT_SECONDS = 0.2


class Silent:
    """A consumer that got no records in the time it was given."""

    def __init__(self) -> None:
        self.asked = 0

    async def getmany(self, **_: Any) -> dict[Any, Any]:
        """Nothing."""
        self.asked += 1
        return {}


@pytest.mark.parametrize("changed", [False, True], ids=["the library", "with our change"])
async def test_a_batch_subscriber_that_got_no_records_sleeps_without_listening(
    changed: bool,
) -> None:
    """A record that arrives during that sleep waits for its end."""
    broker = KafkaBroker(logger=None)
    subscriber: Any = broker.subscriber(
        "t", batch=True, batch_timeout_ms=int(TIMEOUT_SECONDS * 1000)
    )
    if changed:
        upstream.poll_without_sleeping(subscriber, 10)
    consumer = Silent()
    began = time.monotonic()
    assert await subscriber.get_msg(consumer) == ()
    assert (time.monotonic() - began >= TIMEOUT_SECONDS) is not changed
    assert consumer.asked == 1


class Payload(BaseModel):
    """A message."""

    name: str


@pytest.mark.parametrize("changed", [False, True], ids=["the library", "with our change"])
def test_a_handler_of_undecoded_records_has_an_empty_payload_in_the_document(changed: bool) -> None:
    """Other programs read the document to learn what a message looks like."""
    broker = KafkaBroker(logger=None, apply_types=False)

    async def consume(message: Any) -> None:
        """Takes undecoded records."""

    if changed:
        consume = upstream.documented_payload(Payload)(consume)
    broker.subscriber("t", batch=True, title="t")(consume)
    schemas = AsyncAPI(broker).to_specification().to_jsonable()["components"]["schemas"]
    assert any("name" in schema.get("properties", {}) for schema in schemas.values()) is changed


async def test_a_documented_payload_converts_nothing() -> None:
    """The handler still gets the records as they came, though its annotation names a model."""
    broker = KafkaBroker(logger=None, apply_types=False)
    got: list[Any] = []

    @upstream.documented_payload(Payload)
    async def consume(message: Any) -> None:
        got.append(message)

    subscriber: Any = broker.subscriber(
        "t", batch=True, decoder=lambda message: message.raw_message
    )
    subscriber(consume)
    subscriber._build_fastdepends_model()
    records = [object(), object()]

    class Message:
        async def decode(self) -> Any:
            return records

    await subscriber.calls[0].handler.call_wrapped(Message())
    assert got == [records]


class OddName(str):
    """A header name as a C client may send it."""

    def encode(self, *how: Any) -> bytes:
        return b"\xff\xfe"


def test_a_header_name_that_is_not_utf_8_stops_the_partition() -> None:
    """The library raises on it at each attempt; no record of that batch is ever read."""
    builder = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, -1, 10_000)
    builder.append(0, timestamp=1, key=b"k", value=b"before", headers=[])
    builder.append(1, timestamp=1, key=b"k", value=b"odd", headers=[(OddName("x"), b"1")])
    builder.append(2, timestamp=1, key=b"k", value=b"after", headers=[])
    raw = bytes(builder.build())
    with pytest.raises((UnicodeDecodeError, CorruptRecordException)):
        list(MemoryRecords(raw).next_batch())
    assert [one.value for one in upstream.BoundedRecords(raw).next_batch()] == [
        b"before",
        b"odd",
        b"after",
    ]
