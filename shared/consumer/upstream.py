"""Changes to FastStream and aiokafka, each with the reason and the library's version.

No other module of this project touches a private part of a library or replaces one of its methods.
`tests/rules/test_upstream.py` shows for each change that the library, as it is, has the problem.
When a new version of a library makes such a test fail, delete the change and the test.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import (
    DefaultRecordBatch,
    _DefaultRecordBatchPy,
    _DefaultRecordPy,
)
from aiokafka.record.legacy_records import _LegacyRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import encode_varint

from shared.consumer.performance.polling import poll
from shared.consumer.unpacking import (
    RECORD_BYTES,
    WHOLE_BYTES,
    OversizedValue,
    Undecodable,
    Unpacked,
    unpack,
)
from shared.consumer.worker import short

Handler = Callable[[Any], Any]

# -- FastStream 0.7.8: a batch subscriber that got no records sleeps for as long again
#
# `BatchSubscriber.get_msg` asks for records for `batch_timeout_ms`. If none came, it sleeps for
# `batch_timeout_ms` and does not poll meanwhile: a record that arrives then waits for the rest of
# the sleep. A short timeout shortens that wait but turns an idle consumer into a busy loop.


def poll_without_sleeping(subscriber: Any, max_records: int, **observers: Any) -> None:
    """Make a batch subscriber wait for records all the time and return at most `max_records`.

    `observers` are the `on_records` and `on_error` of `poll`.
    """
    subscriber.get_msg = partial(poll, max_records=max_records, **observers)


# -- aiokafka 0.14: a consumer with unread records blocks its own next fetch
#
# 0.1 s after records of one partition arrived and are not read, the consumer fetches the other
# partitions. The broker may hold that request for FETCH_WAIT_MS, and meanwhile nothing asks for the
# first partition, so its next record waits. The loop that waits also wakes more often than needed.

FETCH_WAIT_MS = 3_000
"""How long the broker holds a fetch without records; it answers at once when a record arrives.

In `python -m tests.bench idle`, 1 s instead of 3 s costs a quarter more. After a batch that failed,
its records are read again at most so much later.
"""
UNREAD_SECONDS = 3_600.0


def fetch_after_all_is_read(consumers: Iterable[Any]) -> None:
    """Make the next fetch of each consumer wait until the records of the last one are read."""
    for consumer in consumers:
        consumer._fetcher._prefetch_backoff = UNREAD_SECONDS
        consumer._fetcher._fetcher_timeout = FETCH_WAIT_MS / 1000


# -- aiokafka 0.14: nothing looks at the end of a consumer's own tasks
#
# After an unexpected error the task that fetches, or the one that stays in the group, ends. The
# consumer then polls for ever and gets nothing, and FastStream ignores what the poll raises.


def tasks_of(consumer: Any) -> list["asyncio.Task[Any]"]:
    """Return the tasks without which a consumer gets no records."""
    return [consumer._fetcher._fetch_task, consumer._coordinator._coordination_task]


# -- FastStream 0.7.8: the payload in an AsyncAPI document is the annotation of the handler
#
# Our handlers take undecoded records, because the framework's own decoding loses digits of decimals
# and drops a batch over one bad record. The document would show an empty payload for them. A broker
# made with `apply_types=False` reads annotations for the document only and converts nothing.


def documented_payload(payload: Any) -> Callable[[Handler], Handler]:
    """Decorates a handler of undecoded records: the AsyncAPI document shows `payload` for it."""

    def annotate(handler: Handler) -> Handler:
        (parameter,) = (name for name in handler.__annotations__ if name != "return")
        handler.__annotations__[parameter] = payload
        return handler

    return annotate


# -- aiokafka 0.14: a record batch that cannot be decoded loses records and stops its partition
#
# The library decodes a fetched batch inside `getmany`. An error there (an unknown codec, a broken
# frame, a wrong checksum, a header name that is not UTF-8) leaves that call: the records of other
# partitions that it has passed already are lost, and FastStream logs nothing and asks again. The
# codecs unpack a batch into one object of any size.
#
# Here a batch is unpacked with limits. What cannot be decoded becomes one record whose value is
# `UndecodableBatch`; `topic_consumer` stops its partition and no other. Kafka says that header
# names are UTF-8, but no broker checks it and C clients send any bytes: a batch that the library's
# fast reader refuses is read again slowly, with odd bytes replaced. Headers mean nothing to this
# program; keys and values stay as they came.

FETCHED_BYTES = 16 * 1024 * 1024
"""Keys and values that one poll takes from a partition at most, but for its last record."""
_HEADER = _DefaultRecordBatchPy.HEADER_STRUCT.size
_ATTRIBUTES = _DefaultRecordBatchPy.ATTRIBUTES_OFFSET + 1
_CODEC = _DefaultRecordBatchPy.CODEC_MASK


class UndecodableBatch(bytes):
    """Stands for the records of a batch that cannot be decoded: an empty value with the reason.

    `first` is the offset of its first record that was not read, `following` the one after its last.
    """

    first: int
    following: int
    reason: str


class _LenientBytes(bytearray):
    """Bytes whose decoding never fails; a slice of them behaves the same."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _LenientBytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "replace")


class _BoundedBatch:
    """A fetched record batch, read within limits; its iterator raises nothing."""

    def __init__(self, batch: Any, raw: memoryview, broken: str = "") -> None:
        self._batch = batch
        self._raw = raw
        self._broken = broken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def validate_crc(self) -> bool:
        """True, because the library would raise inside `getmany`; the iterator reports it."""
        if not self._broken and not self._batch.validate_crc():
            self._broken = "its checksum is wrong"
        return True

    @property
    def is_control_batch(self) -> bool:
        return not self._broken and self._batch.is_control_batch

    @property
    def is_transactional(self) -> bool:
        return not self._broken and self._batch.is_transactional

    def __iter__(self) -> Iterator[Any]:
        first = int.from_bytes(self._raw[:8], "big", signed=True)
        try:
            if self._broken:
                raise Undecodable(self._broken)
            for record in self._records():
                first = record.offset + 1
                yield record
        except Exception as error:
            why = str(error) if isinstance(error, Undecodable) else short(error)
            following = max(self._batch.next_offset, first + 1)
            yield _undecodable(first, following, why)

    def _records(self) -> Iterator[Any]:
        if not isinstance(self._batch, DefaultRecordBatch):
            return _legacy_records(self._batch, self._raw)
        if self._batch.compression_type == 0:
            return _lenient(self._batch, self._raw)
        unpacked = Unpacked(unpack(self._batch.compression_type, self._raw[_HEADER:]))
        content = unpacked.whole()
        if content is None:
            return _streamed(self._raw, unpacked)
        plain = bytearray(self._raw[:_HEADER]) + content
        plain[_ATTRIBUTES] &= ~_CODEC
        return _lenient(DefaultRecordBatch(bytes(plain)), memoryview(plain))


def _lenient(batch: Any, raw: memoryview) -> Iterator[Any]:
    """The records of a batch that is not compressed."""
    last = -1
    try:
        for record in batch:
            last = record.offset
            yield record
    except (UnicodeDecodeError, CorruptRecordException):
        slow = _DefaultRecordBatchPy(raw)
        slow._maybe_uncompress()
        slow._buffer = _LenientBytes(slow._buffer)
        for record in slow:
            if record.offset > last:
                yield record


def _streamed(raw: memoryview, unpacked: Unpacked) -> Iterator[Any]:
    """The records of a large batch, one after the other; an oversized one is not kept whole."""
    batch = _DefaultRecordBatchPy(raw[:_HEADER])
    for _ in range(batch._num_records):
        length = unpacked.varint()
        if length > RECORD_BYTES:
            yield _oversized(batch, unpacked, length)
        else:
            batch._buffer = _LenientBytes(_varint(length) + unpacked.read(length))
            batch._pos = 0
            yield batch._read_msg()


def _oversized(batch: Any, unpacked: Unpacked, length: int) -> Any:
    end = unpacked.position + length
    unpacked.read(1)  # attributes, which have no meaning
    timestamp = batch.first_timestamp + unpacked.varint()
    offset = batch.base_offset + unpacked.varint()
    key_length = unpacked.varint()
    key, _ = unpacked.digest(key_length)
    value_length = unpacked.varint()
    first, sha256 = unpacked.digest(value_length)
    unpacked.digest(end - unpacked.position)  # headers
    value = OversizedValue.of(first, max(value_length, 0), sha256, length)
    return _DefaultRecordPy(
        offset, timestamp, batch.timestamp_type, key if key_length >= 0 else None, value, []
    )


def _varint(value: int) -> bytes:
    encoded = bytearray()
    encode_varint(value, encoded.append)
    return bytes(encoded)


def _legacy_records(batch: Any, raw: memoryview) -> Iterator[Any]:
    """The records of a message set from before Kafka 0.11. The library unpacks it once more."""
    slow = _LegacyRecordBatchPy(raw, raw[_LegacyRecordBatchPy.MAGIC_OFFSET])
    codec = slow._compression_type
    if codec:
        start = slow.KEY_OFFSET_V1 if slow._magic else slow.KEY_OFFSET_V0
        _, packed = slow._read_key_value(start)
        if Unpacked(unpack(codec, memoryview(packed or b""))).whole() is None:
            raise Undecodable(f"it unpacks to more than {WHOLE_BYTES >> 20} MiB")
    return iter(batch)


def _undecodable(first: int, following: int, reason: str) -> Any:
    value = UndecodableBatch()
    value.first, value.following, value.reason = first, following, reason
    # The library passes over records before its position, which may lie inside this batch.
    return _DefaultRecordPy(following - 1, -1, 0, None, value, [])


class BoundedRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """The library's reader of fetched records, with batches that are read within limits."""

    _pos: int

    def _cache_next(self, *limits: Any) -> None:
        """Find the next batch. A negative length would make the library go back, or raise: such a
        batch takes all that is left.
        """
        at = self._pos + self.LENGTH_OFFSET
        length = int.from_bytes(self._buffer[at : at + 4], "big", signed=True)
        if length >= 0 or len(self._buffer) < self._pos + self.LOG_OVERHEAD:
            super()._cache_next(*limits)
            return
        self._next_slice = memoryview(self._buffer)[self._pos :]
        self._pos = len(self._buffer)

    def next_batch(self, *limits: Any) -> Any:
        raw = self._next_slice
        if int.from_bytes(raw[8:12], "big", signed=True) < 0:
            self._cache_next()
            return _BoundedBatch(_Unreadable(raw), raw, "its length is negative")
        try:
            return _BoundedBatch(super().next_batch(*limits), raw)
        except Exception as error:
            if self._next_slice is raw:
                self._cache_next()
            return _BoundedBatch(_Unreadable(raw), raw, short(error))


class _Unreadable:
    """A record batch whose header cannot be read."""

    producer_id = None

    def __init__(self, raw: memoryview) -> None:
        self.base_offset = int.from_bytes(raw[:8], "big", signed=True)
        self.next_offset = self.base_offset + 1


class BoundedFetchResult(fetcher.FetchResult):  # type: ignore[misc]
    """Fetched records of a partition, of which one poll takes a limited number of bytes."""

    _partition_records: Any

    def getall(self, max_records: int | None = None) -> list[Any]:
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return []
        found: list[Any] = []
        room = FETCHED_BYTES
        for record in self._partition_records:
            found.append(record)
            room -= record.serialized_key_size + record.serialized_value_size
            if len(found) == max_records or room <= 0:
                self._update_position()
                return found
        self._update_position()
        self._partition_records = None
        return found


def decode_within_limits() -> None:
    """Replaces the library's readers of fetched records for every consumer of this process."""
    fetcher.MemoryRecords = BoundedRecords
    fetcher.FetchResult = BoundedFetchResult
