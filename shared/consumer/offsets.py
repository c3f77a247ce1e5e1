"""Offsets of polled records: where to commit, where to seek back to, what is left to read."""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError

POSITION_TIMEOUT_SECONDS = 1.0
RECENT_POLL_SECONDS = 5.0

Offsets = Mapping[TopicPartition, int]


def offsets_after(polled: Sequence[Any]) -> dict[TopicPartition, int]:
    """The offsets to commit when exactly these records, all of one topic, are processed."""
    ends: dict[int, int] = {}
    if not polled:
        return {}
    for record in polled:
        if record.offset >= ends.get(record.partition, 0):
            ends[record.partition] = record.offset + 1
    return {TopicPartition(polled[0].topic, number): end for number, end in ends.items()}


def first_offsets(polled: Sequence[Any]) -> dict[TopicPartition, int]:
    """The offsets to seek back to, so that exactly these records of one topic are read again."""
    first: dict[int, int] = {}
    for record in polled:
        first[record.partition] = min(first.get(record.partition, record.offset), record.offset)
    return {TopicPartition(polled[0].topic, number): offset for number, offset in first.items()}


async def positions_if_all_is_read(
    consumer: Any, stopped: Collection[int] = ()
) -> dict[TopicPartition, int] | None:
    """The positions of a consumer that polled each partition recently and read all of it.

    None if it has not. What follows the last stable offset cannot be read yet: it belongs to a
    transaction that is still open, or comes after the beginning of one. `stopped` partitions are
    left out.
    """
    if consumer is None:
        return None
    positions: dict[TopicPartition, int] = {}
    for partition in consumer.assignment():
        if partition.partition in stopped:
            continue
        try:
            polled = consumer.last_poll_timestamp(partition)
            end = consumer.last_stable_offset(partition)
            position = await asyncio.wait_for(
                consumer.position(partition), POSITION_TIMEOUT_SECONDS
            )
        except (TimeoutError, IllegalStateError):
            return None  # there is no position yet, or the partition was reassigned meanwhile
        if polled is None or end is None or position < end:
            return None
        if time.time() * 1000 - polled > RECENT_POLL_SECONDS * 1000:
            return None
        positions[partition] = position
    return positions
