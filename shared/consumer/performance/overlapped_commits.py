"""Commit the offsets of finished batches while the next batch is processed.

A commit is one round trip to the group coordinator. `python -m tests.bench ingest` and `latency` on
a busy machine showed no difference beyond noise. It is kept for another reason: while a coordinator
is unavailable, batches are still processed.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka import TopicPartition

from shared.consumer.offsets import Offsets

RETRY_SECONDS = 0.5


class OffsetCommitter:
    """Commit offsets in order, one commit at a time.

    A batch is finished when its transaction is committed and its messages are published. If its
    offsets are committed late, or never because the process ends, its records are processed again
    without effect. A failed commit is repeated together with the offsets that became due since.
    `should_retry` gets the error of a failed commit and decides whether to repeat it. `committed`
    has the offsets that are known to be committed.
    """

    def __init__(
        self,
        commit: Callable[[Offsets], Awaitable[None]],
        should_retry: Callable[[BaseException], bool],
    ) -> None:
        self._commit = commit
        self._should_retry = should_retry
        self._due: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.committed: dict[TopicPartition, int] = {}

    def add(self, offsets: Offsets) -> None:
        """Add the offsets of processed records to the next commit."""
        self._due.update(offsets)
        if self._due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(), name="offsets")

    async def wait(self, seconds: float) -> None:
        """Wait until all added offsets are committed, for `seconds` at most."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)

    def discard(self) -> None:
        """Drop the offsets that are not committed yet.

        Another worker takes over their partitions and begins at the last committed offsets.
        """
        self._due.clear()
        self.committed.clear()

    async def _run(self) -> None:
        while self._due:
            offsets, self._due = self._due, {}
            try:
                await self._commit(offsets)
            except Exception as error:
                if not self._should_retry(error):
                    return
                self._due = offsets | self._due
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.committed |= offsets
