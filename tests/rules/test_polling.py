"""Offsets are committed during the next batch: in order, one at a time, none lost by a failure."""

import asyncio

import pytest
from aiokafka import TopicPartition

from shared.consumer.offsets import Offsets
from shared.consumer.performance import overlapped_commits
from shared.consumer.performance.overlapped_commits import OffsetCommitter

ONE, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)


class Broker:
    """A broker that takes commits on demand and refuses a given number of them."""

    def __init__(self, refusals: int = 0) -> None:
        self.let = asyncio.Event()
        self.commits: list[dict[TopicPartition, int]] = []
        self.at_once = 0
        self._refusals = refusals

    async def commit(self, offsets: Offsets) -> None:
        """One commit."""
        self.at_once += 1
        assert self.at_once == 1, "two commits at once may overtake each other"
        await self.let.wait()
        self.at_once -= 1
        if self._refusals:
            self._refusals -= 1
            raise ConnectionError("not now")
        self.commits.append(dict(offsets))


async def test_batches_that_end_during_a_commit_are_in_the_next_one() -> None:
    """One commit with each newest offset."""
    broker = Broker()
    committer = OffsetCommitter(broker.commit, lambda error: True)
    committer.add({ONE: 5})
    await asyncio.sleep(0)
    committer.add({ONE: 7})
    committer.add({ONE: 9, OTHER: 2})
    broker.let.set()
    await committer.wait(5)
    assert broker.commits == [{ONE: 5}, {ONE: 9, OTHER: 2}]


async def test_a_failed_commit_is_repeated_with_later_offsets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failed offset never replaces a newer one."""
    monkeypatch.setattr(overlapped_commits, "RETRY_SECONDS", 0.01)
    broker = Broker(refusals=2)
    committer = OffsetCommitter(broker.commit, lambda error: True)
    committer.add({ONE: 5, OTHER: 1})
    await asyncio.sleep(0)
    committer.add({ONE: 6})
    broker.let.set()
    await committer.wait(5)
    assert broker.commits == [{ONE: 6, OTHER: 1}]


async def test_a_commit_that_cannot_succeed_is_not_retried() -> None:
    """The callback decides; a stopping process ends."""
    broker = Broker(refusals=1)
    broker.let.set()
    reported: list[BaseException] = []

    def failed(error: BaseException) -> bool:
        reported.append(error)
        return False

    committer = OffsetCommitter(broker.commit, failed)
    committer.add({ONE: 5})
    await committer.wait(5)
    assert broker.commits == []
    assert [type(error) for error in reported] == [ConnectionError]
