"""Reading records whose header NAMES are not UTF-8: the client library raises on one, and then nobody reads that partition any more.

Kafka says that header names are UTF-8, but no broker checks it and C clients send any bytes. Only a set of records that the library's
fast reader refuses is read again here, slowly, with the odd bytes replaced; headers mean nothing to us, keys and values stay as they came.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


class _Lenient(bytearray):
    """Bytes whose text never fails; a slice of them is as lenient."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Lenient(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "replace")


class _Batch:
    """A record batch as the library's fast reader sees it; if that one fails, as the slow one sees it, from the same record on."""

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
            slow._buffer = _Lenient(slow._buffer)
            for record in slow:
                if record.offset > last:
                    yield record


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """What the library makes of a fetched set of records, with batches that survive odd header names."""

    def next_batch(self, *limits: Any) -> Any:
        raw = self._next_slice
        batch = super().next_batch(*limits)
        return _Batch(batch, raw) if isinstance(batch, DefaultRecordBatch) else batch


def install() -> None:
    """Puts the lenient reading in the place of the library's, for every consumer of this process."""
    fetcher.MemoryRecords = LenientRecords
