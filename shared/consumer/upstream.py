"""Changes to FastStream and aiokafka, each with the reason and the library's version.

No other module of this project touches a private part of a library or replaces one of its methods.
`tests/rules/test_upstream.py` shows for each change that the library, as it is, has the problem.
When a new version of a library makes such a test fail, delete the change and the test.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from shared.consumer.performance.polling import poll

Handler = Callable[[Any], Any]

# -- FastStream 0.7.8: a batch subscriber that got no records sleeps for as long again
#
# `BatchSubscriber.get_msg` asks for records for `batch_timeout_ms`. If none came, it sleeps for
# `batch_timeout_ms` and does not poll meanwhile: a record that arrives then waits for the rest of
# the sleep. A short timeout shortens that wait but turns an idle consumer into a busy loop.


def poll_without_sleeping(subscriber: Any, max_records: int) -> None:
    """Make a batch subscriber wait for records all the time and return at most `max_records`."""
    subscriber.get_msg = partial(poll, max_records=max_records)


# -- aiokafka 0.14: a consumer with unread records blocks its own next fetch
#
# 0.1 s after records of one partition arrived and are not read, the consumer fetches the other
# partitions. The broker may hold that request for FETCH_WAIT_MS, and meanwhile nothing asks for the
# first partition, so its next record waits. The loop that waits also wakes more often than needed.

FETCH_WAIT_MS = 1_000
"""How long the broker holds a fetch without records; it answers at once when a record arrives."""
UNREAD_SECONDS = 3_600.0


def fetch_after_all_is_read(consumers: Iterable[Any]) -> None:
    """Make the next fetch of each consumer wait until the records of the last one are read."""
    for consumer in consumers:
        consumer._fetcher._prefetch_backoff = UNREAD_SECONDS
        consumer._fetcher._fetcher_timeout = FETCH_WAIT_MS / 1000


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


# -- aiokafka 0.14: a record whose header NAME is not UTF-8 stops its partition for good
#
# Kafka says that header names are UTF-8, but no broker checks it and C clients send any bytes. The
# library raises UnicodeDecodeError while it reads the fetched records, again at each attempt. Only
# a record batch that the library's fast reader refuses is read again here, slowly, with odd bytes
# replaced: headers mean nothing to this program; keys and values stay as they came.


class _LenientBytes(bytearray):
    """Bytes whose decoding never fails; a slice of them behaves the same."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _LenientBytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "replace")


class _LenientBatch:
    """A record batch of the library's fast reader; where that fails, the slow one continues."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        last = -1
        try:
            for record in self._batch:
                last = record.offset
                yield record
        except (UnicodeDecodeError, CorruptRecordException):
            slow = _DefaultRecordBatchPy(self._raw)
            slow._maybe_uncompress()
            slow._buffer = _LenientBytes(slow._buffer)
            for record in slow:
                if record.offset > last:
                    yield record


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """The library's reader of fetched records, with batches that survive odd header names."""

    def next_batch(self, *limits: Any) -> Any:
        raw = self._next_slice
        batch = super().next_batch(*limits)
        return _LenientBatch(batch, raw) if isinstance(batch, DefaultRecordBatch) else batch


def accept_any_header_name() -> None:
    """Replaces the library's reader of fetched records for every consumer of this process."""
    fetcher.MemoryRecords = LenientRecords
