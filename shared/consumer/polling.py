"""Taking records from Kafka and giving their offsets back: the two ends of a batch, so that neither makes the next batch wait.

The framework asks for records and, when there are none, sleeps as long again without listening: a record that comes meanwhile lies there.
And what the client library has at hand when a batch is done was fetched when that batch began: often one record, while more have come.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError

FETCH_WAIT_MS = 1_000
"""The broker answers at once when a record comes; an idle one is asked this often."""
POLL_TIMEOUT_MS = 1_000
REST_MS = 5
AT_ONCE_SECONDS = 0.002
AGAIN_SECONDS = 0.5
POSITION_SECONDS = 1.0
UNREAD_SECONDS = 3_600.0
POLLED_LATELY_SECONDS = 5.0

Offsets = Mapping[TopicPartition, int]


def fetch_when_all_is_read(consumers: Iterable[Any]) -> None:
    """Makes the next fetch of each consumer wait until the records of the last one are read.

    The client library asks for the other partitions 0.1 s after records of one came and are not
    read. The broker may hold that request for FETCH_WAIT_MS, and the first partition is not asked
    for meanwhile. Besides, the library's loop need not wake more often than it asks.
    """
    for consumer in consumers:
        consumer._fetcher._prefetch_backoff = UNREAD_SECONDS
        consumer._fetcher._fetcher_timeout = FETCH_WAIT_MS / 1000


async def take(consumer: Any, most: int) -> tuple[Any, ...]:
    """Waits for records and gives them; if some were at hand already, with those that have come since, up to `most`."""
    began = time.monotonic()
    found = _flat(await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=most))
    if found and len(found) < most and time.monotonic() - began < AT_ONCE_SECONDS:
        with suppress(
            KafkaError, ConsumerStoppedError
        ):  # met again at the next asking; what was found is not lost over it
            found += _flat(
                await consumer.getmany(timeout_ms=REST_MS, max_records=most - len(found))
            )
    return found


def _flat(found: Mapping[TopicPartition, Sequence[Any]]) -> tuple[Any, ...]:
    return tuple(record for records in found.values() for record in records)


def offsets_after(polled: Sequence[Any]) -> dict[TopicPartition, int]:
    """The offsets that say that exactly these records are done."""
    last: dict[int, Any] = {}
    for record in polled:  # of one topic, as every consumer hears one
        before = last.get(record.partition)
        if before is None or record.offset > before.offset:
            last[record.partition] = record
    return {
        TopicPartition(record.topic, partition): record.offset + 1
        for partition, record in last.items()
    }


class Committer:
    """Commits the offsets of finished batches in their order, one commit at a time, while the next batch is worked on.

    A batch is finished when its transaction is committed and what it made true is said; one that is committed late, or never because
    the process dies, costs a repeat, which has no effect. A commit that fails is made again with what has become due meanwhile.
    """

    def __init__(
        self, commit: Callable[[Offsets], Awaitable[None]], failed: Callable[[BaseException], bool]
    ) -> None:
        self._commit = commit
        self._failed = failed
        self._due: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, offsets: Offsets) -> None:
        """These records are done."""
        self._due.update(offsets)
        if self._due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(), name="offsets")

    async def settled(self, patience: float) -> None:
        """Waits until nothing is due any more, for so long at most."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=patience)

    def forget(self) -> None:
        """What is due belongs to partitions that are given up: who takes them over begins at the last commit."""
        self._due.clear()

    async def _run(self) -> None:
        while self._due:
            now, self._due = self._due, {}
            try:
                await self._commit(now)
            except Exception as error:
                if not self._failed(error):
                    return
                self._due = now | self._due
                await asyncio.sleep(AGAIN_SECONDS)


async def has_read_all(consumer: Any) -> bool:
    """Whether a consumer polled each of its partitions lately and has read all that the broker told of."""
    if consumer is None:
        return False
    for partition in consumer.assignment():
        try:
            polled, highest = consumer.last_poll_timestamp(partition), consumer.highwater(partition)
            position = await asyncio.wait_for(consumer.position(partition), POSITION_SECONDS)
        except (TimeoutError, IllegalStateError):
            return False  # no position yet, or the partition moved on while we looked
        if (
            polled is None
            or highest is None
            or position < highest
            or time.time() * 1000 - polled > POLLED_LATELY_SECONDS * 1000
        ):
            return False
    return True
