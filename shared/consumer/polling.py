"""Polling records and committing their offsets, so that neither makes the next batch wait.

What the client library has ready when a batch is done was fetched when that batch began: often one
record, while more have arrived since. So a poll that returned at once is followed by a short one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError

POLL_TIMEOUT_MS = 1_000
REST_MS = 5
AT_ONCE_SECONDS = 0.002
AGAIN_SECONDS = 0.5
POSITION_SECONDS = 1.0
POLLED_LATELY_SECONDS = 5.0

Offsets = Mapping[TopicPartition, int]


async def take(consumer: Any, most: int) -> tuple[Any, ...]:
    """Waits for records; if some were ready, adds those that arrived since; `most` at once."""
    began = time.monotonic()
    found = _flat(await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=most))
    if found and len(found) < most and time.monotonic() - began < AT_ONCE_SECONDS:
        # An error comes again at the next poll; it must not lose the records that were found.
        with suppress(KafkaError, ConsumerStoppedError):
            found += _flat(
                await consumer.getmany(timeout_ms=REST_MS, max_records=most - len(found))
            )
    return found


def _flat(found: Mapping[TopicPartition, Sequence[Any]]) -> tuple[Any, ...]:
    return tuple(record for records in found.values() for record in records)


def offsets_after(polled: Sequence[Any]) -> dict[TopicPartition, int]:
    """The offsets to commit when exactly these records are processed."""
    last: dict[int, Any] = {}
    for record in polled:  # all of one topic: every consumer reads one
        before = last.get(record.partition)
        if before is None or record.offset > before.offset:
            last[record.partition] = record
    return {
        TopicPartition(record.topic, partition): record.offset + 1
        for partition, record in last.items()
    }


class Committer:
    """Commits the offsets of finished batches in order while the next batch is processed.

    There is one commit at a time. A batch is finished when its transaction is committed and its
    messages are published. If its offsets are committed late, or never because the process dies,
    its records are processed again, which has no effect. A commit that failed is repeated with what
    has become due meanwhile.
    `failed` is told of the error and decides whether to try again.
    """

    def __init__(
        self,
        commit: Callable[[Offsets], Awaitable[None]],
        failed: Callable[[BaseException], bool],
    ) -> None:
        self._commit = commit
        self._failed = failed
        self._due: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, offsets: Offsets) -> None:
        """Adds the offsets of processed records to what must be committed."""
        self._due.update(offsets)
        if self._due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(), name="offsets")

    async def settled(self, seconds: float) -> None:
        """Waits until everything due is committed, for `seconds` at most."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)

    def forget(self) -> None:
        """Drops what is due: its partitions are given up, and their next owner begins at the last
        committed offset."""
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
    """Whether a consumer polled each partition lately and has read all that the broker reported."""
    if consumer is None:
        return False
    for partition in consumer.assignment():
        try:
            polled = consumer.last_poll_timestamp(partition)
            highest = consumer.highwater(partition)
            position = await asyncio.wait_for(consumer.position(partition), POSITION_SECONDS)
        except (TimeoutError, IllegalStateError):
            return False  # there is no position yet, or the partition was reassigned meanwhile
        if polled is None or highest is None or position < highest:
            return False
        if time.time() * 1000 - polled > POLLED_LATELY_SECONDS * 1000:
            return False
    return True
