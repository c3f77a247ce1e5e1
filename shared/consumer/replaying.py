"""Replay and discard dead letters: the same in every service."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.consumer import dead_letter_content, tables
from shared.consumer.answers import Answer
from shared.consumer.processing import Subscription
from shared.consumer.records import Received, Rejection
from shared.errors import Refused
from shared.events.commands import DiscardDeadLetter, ReplayDeadLetter


async def replay(
    service: str,
    subscriptions: Callable[[], Mapping[str, Subscription]],
    connection: AsyncConnection,
    command: ReplayDeadLetter,
) -> Answer:
    """Process the record of a dead letter again, unchanged or with the value of the command.

    A command keeps its signature and its time; a corrected one has none.
    """
    row = await _open(service, connection, command.dead_letter_id)
    if command.value is None and (row.value_length or 0) > len(row.record_value or b""):
        raise Refused(
            "value_not_kept",
            f"dead letter {command.dead_letter_id} keeps {len(row.record_value):,} of the"
            f" {row.value_length:,} bytes of its value",
            "give the whole JSON with --value, or have its sender send it again",
        )
    record = dead_letter_content.record_of(row)
    if command.value is not None:
        # The signature of a command is of the value that its sender sent.
        record = record._replace(value=command.value.encode(), headers=())
    subscription = subscriptions().get(row.topic)
    if subscription is None:
        raise Refused(
            "topic_not_consumed",
            f"{service} no longer consumes {row.topic}",
            "discard the dead letter with a reason",
        )
    event = subscription.read(record)
    if isinstance(event, Rejection):
        raise Refused(
            event.code,
            f"the record still can't be read: {event.message}",
            "give the corrected JSON with --value",
        )
    if event is None:
        raise Refused(
            "another_service",
            f"another service than {service} answers this command",
            "send the corrected command with a new command_id",
        )
    applied = await subscription.apply(connection, [Received(event, record)])
    if applied.refused is not None:
        raise _refusal_of_replayed(applied.refused, corrected=command.value is not None)
    if applied.rejected:
        _, rejection = applied.rejected[0]
        raise Refused(
            rejection.code, rejection.message, "correct the value, or discard the dead letter"
        )
    answer = await _close(service, connection, command, "replayed", row.topic)
    answer.publish_after = [*applied.publish_now, *applied.publish_after]
    answer.jobs_due = applied.jobs_due
    return answer


async def discard(service: str, connection: AsyncConnection, command: DiscardDeadLetter) -> Answer:
    """Discard a dead letter for good."""
    if not command.reason:
        raise Refused(
            "reason_missing", "discarding a dead letter requires a reason", "give --reason"
        )
    row = await _open(service, connection, command.dead_letter_id)
    return await _close(service, connection, command, "discarded", row.topic)


async def _open(service: str, connection: AsyncConnection, dead_letter_id: int) -> Any:
    row = await tables.lock_dead_letter(connection, service, dead_letter_id)
    if row is None:
        raise Refused(
            "no_such_dead_letter",
            f"{service} has no dead letter {dead_letter_id}",
            "see `backoffice dead-letters list`",
        )
    if row.state != "open":
        raise Refused("dead_letter_closed", f"dead letter {dead_letter_id} was {row.state} already")
    return row


async def _close(
    service: str,
    connection: AsyncConnection,
    command: ReplayDeadLetter | DiscardDeadLetter,
    state: str,
    topic: str,
) -> Answer:
    dead_letter_id = command.dead_letter_id
    await tables.close_dead_letter(
        connection, service, dead_letter_id, state, command.actor, command.reason
    )
    return Answer(
        f"dead letter {dead_letter_id} of {topic} was {state}",
        subjects=[f"dead-letter {command.service} {dead_letter_id}"],
    )


def _refusal_of_replayed(refused: Refused, *, corrected: bool) -> Refused:
    if refused.code != "not_signed" or not corrected:
        return refused
    return Refused(
        "not_signed",
        "a corrected command is not what its sender signed",
        "discard the dead letter, and have the corrected command sent, signed, with a new"
        " command_id",
    )
