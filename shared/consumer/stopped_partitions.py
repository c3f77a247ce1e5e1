"""The table of stopped partitions that each service has, and the commands that read on.

`stops` says what a stop is. The row of a stop shows it to operators; `continue_at` in it brings a
command to the replica that has the partition.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run
from shared.errors import Refused
from shared.events.commands import ResumeConsumer, SkipRecords

# -- commands

Changes = tuple[str, dict[str, Any], dict[str, Any]]
"""What the answer to a command says, and the offsets before and after it by partition."""


async def skip(connection: AsyncConnection, service: str, command: SkipRecords) -> Changes:
    """Let a stopped partition be read on behind what cannot be read."""
    (stop,) = await _stopped(connection, service, command, command.partition)
    lowest = max(stop.following_offset, stop.record_offset + 1)
    if command.to_offset < lowest:
        raise Refused(
            "offset_too_low",
            f"partition {stop.partition_no} of {command.topic} stopped at offset"
            f" {stop.record_offset}, and what cannot be read ends before offset {lowest}",
            f"give offset {lowest} or a higher one",
        )
    await _set_continue_at(connection, service, stop, command.to_offset)
    return (
        f"partition {stop.partition_no} of {command.topic} is read on at offset"
        f" {command.to_offset}; {command.to_offset - stop.record_offset:,} offset(s) are skipped",
        {str(stop.partition_no): stop.record_offset},
        {str(stop.partition_no): command.to_offset},
    )


async def resume(connection: AsyncConnection, service: str, command: ResumeConsumer) -> Changes:
    """Let all stopped partitions of a topic be read again where they stopped."""
    stopped = await _stopped(connection, service, command)
    for stop in stopped:
        await _set_continue_at(connection, service, stop, stop.record_offset)
    offsets = {str(stop.partition_no): stop.record_offset for stop in stopped}
    return (
        f"{len(stopped)} partition(s) of {command.topic} are read again where they stopped",
        offsets,
        offsets,
    )


async def _stopped(
    connection: AsyncConnection,
    service: str,
    command: SkipRecords | ResumeConsumer,
    partition: int | None = None,
) -> Sequence[Any]:
    if not command.reason:
        raise Refused("reason_missing", f"{command.command} requires a reason", "give --reason")
    found = await rows(
        connection,
        f"SELECT topic, partition_no, record_offset, following_offset"
        f" FROM {service}.stopped_partition WHERE topic = :topic"
        " AND (CAST(:partition AS integer) IS NULL OR partition_no = :partition)"
        " ORDER BY partition_no FOR UPDATE",
        topic=command.topic,
        partition=partition,
    )
    if not found:
        which = "every partition" if partition is None else f"partition {partition}"
        raise Refused(
            "not_stopped",
            f"{service} reads {which} of {command.topic}",
            "see `backoffice consumers list`",
        )
    return found


async def _set_continue_at(
    connection: AsyncConnection, service: str, stop: Any, offset: int
) -> None:
    await run(
        connection,
        f"UPDATE {service}.stopped_partition SET continue_at = :offset"
        " WHERE topic = :topic AND partition_no = :partition",
        topic=stop.topic,
        partition=stop.partition_no,
        offset=offset,
    )


# -- the table


async def stored_stops(connection: AsyncConnection, service: str) -> Sequence[Any]:
    """The rows of a service."""
    return await rows(
        connection,
        "SELECT topic, partition_no, record_offset, following_offset, code, message, continue_at"
        f" FROM {service}.stopped_partition",
    )


async def store(
    connection: AsyncConnection, service: str, topic: str, stop: Mapping[str, Any]
) -> None:
    """Store a stop: partition, offset, following, code and message.

    A command that was not carried out before stays valid.
    """
    await run(
        connection,
        f"INSERT INTO {service}.stopped_partition AS s (topic, partition_no, record_offset,"
        " following_offset, code, message)"
        " VALUES (:topic, :partition, :offset, :following, :code, :message)"
        " ON CONFLICT (topic, partition_no) DO UPDATE SET record_offset = EXCLUDED.record_offset,"
        " following_offset = EXCLUDED.following_offset, code = EXCLUDED.code,"
        " message = EXCLUDED.message, stopped_at = now(), continue_at ="
        " CASE WHEN s.continue_at >= EXCLUDED.record_offset THEN s.continue_at END",
        topic=topic,
        partition=stop["partition"],
        offset=stop["offset"],
        following=stop["following"],
        code=stop["code"],
        message=stop["message"],
    )


async def delete(connection: AsyncConnection, service: str, topic: str, partition: int) -> None:
    """Delete the row of a partition that is read again."""
    await run(
        connection,
        f"DELETE FROM {service}.stopped_partition"
        " WHERE topic = :topic AND partition_no = :partition",
        topic=topic,
        partition=partition,
    )
