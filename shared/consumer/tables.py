"""The tables that every service has in its own schema: outbox, dead letters, commands.

It also builds the messages that are stored in them.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.producer import OutgoingMessage, stable_id
from shared.broker.topics import COMMAND_RESULTS, OPERATOR_COMMANDS, dead_letter_topic
from shared.consumer import dead_letter_content, forgetting
from shared.consumer.records import OutboxId, Record, Rejection
from shared.consumer.results import encode
from shared.database import rows, run
from shared.events.billing import CommandResult

DEAD_LETTER = "dead-letter"
COMMAND_RESULT = "command-result"
COMMAND_CONFLICT = "command-conflict"
COMMAND_REFUSED = "command-refused"

CHUNK_BYTES = 2_000
"""Longest id of a chunk: it is part of a primary key, and a B-tree takes keys of 2,704 bytes.

The name of one message has less than 900 bytes.
"""
KEY_LENGTH = 2_000
"""Characters of an unreadable record's key that its dead-letter message repeats.

A key may be as long as a message, and longer when decoded as text.
"""

# -- outbox


def outbox_chunks(kind: str, names: Iterable[str]) -> Iterator[tuple[OutboxId, int]]:
    """Combine many messages of a kind into few outbox entries; each comes with its number of names.

    `names` are JSON values that identify the messages. One entry for each message would cost one
    row to insert and to delete.
    """
    chunk: list[str] = []
    size = 0
    for name in names:
        added = len(name.encode()) + 1
        if size + added > CHUNK_BYTES:
            yield (kind, f"[{','.join(chunk)}]"), len(chunk)
            chunk, size = [], 0
        chunk.append(name)
        size += added
    if chunk:
        yield (kind, f"[{','.join(chunk)}]"), len(chunk)


def names_in_chunks(ids: Iterable[str]) -> list[Any]:
    """The names of the messages that these chunks stand for."""
    return [name for an_id in ids for name in json.loads(an_id)]


async def update_outbox(
    connection: AsyncConnection,
    service: str,
    added: Sequence[OutboxId],
    deleted: Iterable[OutboxId] = (),
) -> None:
    """Add entries to the outbox and delete other, published ones, in one statement."""
    gone = sorted(deleted)
    delete = (
        f"DELETE FROM {service}.outbox o USING"
        " unnest(CAST(:deleted_kinds AS text[]), CAST(:deleted_ids AS text[])) AS d(kind, id)"
        " WHERE o.kind = d.kind AND o.id = d.id"
    )
    insert = (
        f"INSERT INTO {service}.outbox SELECT *"
        " FROM unnest(CAST(:kinds AS text[]), CAST(:ids AS text[])) ON CONFLICT DO NOTHING"
    )
    new = {"kinds": [kind for kind, _ in added], "ids": [an_id for _, an_id in added]}
    old = {"deleted_kinds": [kind for kind, _ in gone], "deleted_ids": [an_id for _, an_id in gone]}
    if added and gone:
        await run(connection, f"WITH deleted AS ({delete}) {insert}", **new, **old)
    elif added:
        await run(connection, insert, **new)
    elif gone:
        await run(connection, delete, **old)


async def outbox_entries(connection: AsyncConnection, service: str, limit: int) -> list[OutboxId]:
    """The entries of the outbox, ordered by kind."""
    found = await rows(
        connection,
        f"SELECT kind, id FROM {service}.outbox ORDER BY kind, id LIMIT :limit",
        limit=limit,
    )
    return [(row.kind, row.id) for row in found]


async def count_entries(connection: AsyncConnection, service: str) -> tuple[int, int]:
    """Count the open dead letters and the outbox entries, for the metrics."""
    (row,) = await rows(
        connection,
        f"SELECT (SELECT count(*) FROM {service}.dead_letter WHERE state = 'open') AS dead_letters,"
        f" (SELECT count(*) FROM {service}.outbox) AS outbox",
    )
    return row.dead_letters, row.outbox


# -- dead letters


async def add_dead_letters(
    connection: AsyncConnection, service: str, rejected: Sequence[tuple[Record, Rejection]]
) -> list[OutboxId]:
    """Store rejected records; return the outbox entries of the new ones.

    A record that is stored already changes nothing. Of a key, a value and the headers at most
    `KEPT_BYTES` are kept, and nothing of a record that names a forgotten worker.
    """
    new: list[OutboxId] = []
    forgotten = await forgetting.forgotten_among(connection, service) if rejected else frozenset()
    for record, rejection in rejected:
        found = await connection.scalar(
            text(
                f"INSERT INTO {service}.dead_letter (topic, partition_no, record_offset, sha256,"
                " record_key, record_value, value_length, value_sha256, headers, appended_at,"
                " code, message)"
                " VALUES (:topic, :partition, :offset, :sha, :key, :value, :value_length,"
                " :value_sha, CAST(:headers AS jsonb), :appended_at, :code, :message)"
                " ON CONFLICT DO NOTHING RETURNING dead_letter_id"
            ),
            {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "sha": record.sha256,
                **dead_letter_content.content(record, forgotten),
                "code": rejection.code,
                "message": rejection.message,
            },
        )
        if found is not None:
            new.append((DEAD_LETTER, str(found)))
    return new


async def lock_dead_letter(
    connection: AsyncConnection, service: str, dead_letter_id: int
) -> Any | None:
    """Lock and return the row of a dead letter, or None."""
    found = await rows(
        connection,
        "SELECT topic, partition_no, record_offset, record_key, record_value, value_length,"
        " headers, appended_at, state"
        f" FROM {service}.dead_letter WHERE dead_letter_id = :id FOR UPDATE",
        id=dead_letter_id,
    )
    return found[0] if found else None


async def close_dead_letter(
    connection: AsyncConnection,
    service: str,
    dead_letter_id: int,
    state: str,
    actor: str,
    reason: str,
) -> None:
    """Mark a dead letter as replayed or discarded."""
    await run(
        connection,
        f"UPDATE {service}.dead_letter SET state = :state, closed_by = :actor,"
        " closed_reason = :reason, closed_at = now() WHERE dead_letter_id = :id",
        state=state,
        actor=actor,
        reason=reason,
        id=dead_letter_id,
    )


async def dead_letter_messages(
    connection: AsyncConnection, service: str, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Build the dead-letter messages, and a response for each rejected command.

    The messages identify the record and give the reason; its content stays in the table.
    """
    found = await rows(
        connection,
        "SELECT dead_letter_id, topic, partition_no, record_offset,"
        " encode(sha256, 'hex') AS sha256, record_key, record_value, code, message"
        f" FROM {service}.dead_letter WHERE dead_letter_id = ANY(CAST(:ids AS bigint[]))",
        ids=[int(an_id) for an_id in ids],
    )
    responses = [
        OutgoingMessage(
            COMMAND_RESULTS.name,
            result.command_id,
            result.model_dump_json().encode(),
            stable_id(service, DEAD_LETTER, row.dead_letter_id, "r"),
        )
        for row in found
        if row.topic == OPERATOR_COMMANDS.name
        and (result := _result_of_rejected(row, service)) is not None
    ]
    return responses + [
        OutgoingMessage(
            dead_letter_topic(row.topic, service),
            (row.record_key or b"").decode("utf-8", "replace")[:KEY_LENGTH],
            json.dumps(
                {
                    "dead_letter_id": row.dead_letter_id,
                    "service": service,
                    "topic": row.topic,
                    "partition": row.partition_no,
                    "offset": row.record_offset,
                    "sha256": row.sha256,
                    "code": row.code,
                    "message": row.message,
                }
            ).encode(),
            stable_id(service, DEAD_LETTER, row.dead_letter_id),
        )
        for row in found
    ]


def _result_of_rejected(row: Any, service: str) -> CommandResult | None:
    """The result of a command that cannot be parsed; None if even its id cannot be read."""
    try:
        body = dead_letter_content.partial_json(row.record_value)
        command_id = body["command_id"]
        command = str(body.get("command", "")).encode("utf-8", "replace").decode()
        command_id.encode()  # fails for a lone surrogate, which JSON can contain and UTF-8 cannot
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if not isinstance(command_id, str) or not command_id:
        return None
    return CommandResult(
        command_id=command_id[:200],
        command=command[:100],
        service=service,
        outcome="refused",
        code=row.code,
        message=row.message,
        fix="correct the command and send it with a new command_id",
    )


# -- commands


async def signing_key(connection: AsyncConnection, key_id: str, actor: str) -> list[Any]:
    """The key of a program, once for each role of the actor and its billing company."""
    return await rows(
        connection,
        "SELECT k.*, g.role, g.billing_company FROM invoicer.signing_key k"
        " LEFT JOIN invoicer.granted_role g ON g.actor = :actor WHERE k.key_id = :key_id",
        key_id=key_id,
        actor=actor,
    )


async def command_row(connection: AsyncConnection, service: str, command_id: str) -> Any | None:
    """The stored `body_sha256` and `result` of a command, or None."""
    found = await rows(
        connection,
        f"SELECT body_sha256, result FROM {service}.command WHERE command_id = :id",
        id=command_id,
    )
    return found[0] if found else None


async def add_command(connection: AsyncConnection, service: str, values: dict[str, Any]) -> None:
    """Store an answered command: actor, reason, result, and the state before and after."""
    await run(
        connection,
        f"INSERT INTO {service}.command (command_id, command, billing_company, actor, reason,"
        " body, body_sha256, outcome, result, before, after, subjects, key_id, program, client)"
        " VALUES (:command_id, :command, :billing_company, :actor, :reason,"
        " CAST(:body AS jsonb), :sha, :outcome, CAST(:result AS jsonb),"
        " CAST(:before AS jsonb), CAST(:after AS jsonb), CAST(:subjects AS text[]),"
        " :key_id, :program, :client)",
        **values,
    )


async def add_command_conflict(
    connection: AsyncConnection, service: str, command_id: str, sha: bytes, result: str
) -> None:
    """Store the refusal of a command whose id was used before with another body."""
    await run(
        connection,
        f"INSERT INTO {service}.command_conflict (command_id, body_sha256, result)"
        " VALUES (:id, :sha, CAST(:result AS jsonb)) ON CONFLICT DO NOTHING",
        id=command_id,
        sha=sha,
        result=result,
    )


async def add_refused_command(
    connection: AsyncConnection, service: str, record: Record, values: dict[str, Any]
) -> OutboxId:
    """Store that a record's command was refused before it was tried; return the outbox entry.

    The first refusal of a record stays.
    """
    place = [record.partition, record.offset, hashlib.sha256(record.value or b"").hexdigest()]
    await run(
        connection,
        f"INSERT INTO {service}.refused_command (partition_no, record_offset, value_sha256,"
        " command_id, command, actor, reason, key_id, program, client, result, subjects,"
        " appended_at)"
        " VALUES (:partition, :offset, decode(:sha, 'hex'), :command_id, :command, :actor, :reason,"
        " :key_id, :program, :client, CAST(:result AS jsonb), CAST(:subjects AS text[]),"
        " :appended_at) ON CONFLICT DO NOTHING",
        partition=place[0],
        offset=place[1],
        sha=place[2],
        appended_at=record.appended_at,
        **values,
    )
    return COMMAND_REFUSED, json.dumps(place)


async def refused_messages(
    connection: AsyncConnection, service: str, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Build the results of commands that were refused before they were tried."""
    places = [json.loads(an_id) for an_id in ids]
    found = await rows(
        connection,
        "SELECT r.command_id, r.result, s.place"
        " FROM unnest(CAST(:partitions AS int[]), CAST(:offsets AS bigint[]),"
        "   CAST(:shas AS text[]), CAST(:ids AS text[])) AS s(partition_no, at, sha, place)"
        f" JOIN {service}.refused_command r ON r.partition_no = s.partition_no"
        " AND r.record_offset = s.at AND r.value_sha256 = decode(s.sha, 'hex')",
        partitions=[partition for partition, _, _ in places],
        offsets=[offset for _, offset, _ in places],
        shas=[sha for _, _, sha in places],
        ids=list(ids),
    )
    return [_result_message(row, service, COMMAND_REFUSED, row.place) for row in found]


async def command_messages(
    connection: AsyncConnection, service: str, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Build the stored results of commands."""
    found = await rows(
        connection,
        f"SELECT command_id, result FROM {service}.command"
        " WHERE command_id = ANY(CAST(:ids AS text[]))",
        ids=list(ids),
    )
    return [_result_message(row, service, COMMAND_RESULT, row.command_id) for row in found]


async def conflict_messages(
    connection: AsyncConnection, service: str, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Build the stored refusals of commands whose id was used before."""
    pairs = [json.loads(an_id) for an_id in ids]
    found = await rows(
        connection,
        f"SELECT c.command_id, c.result, s.sha FROM {service}.command_conflict c"
        " JOIN unnest(CAST(:ids AS text[]), CAST(:shas AS text[])) AS s(id, sha)"
        " ON c.command_id = s.id AND encode(c.body_sha256, 'hex') = s.sha",
        ids=[command_id for command_id, _ in pairs],
        shas=[sha for _, sha in pairs],
    )
    return [
        _result_message(row, service, COMMAND_CONFLICT, row.command_id, row.sha) for row in found
    ]


def _result_message(row: Any, *identity: str) -> OutgoingMessage:
    return OutgoingMessage(
        COMMAND_RESULTS.name, row.command_id, encode(row.result), stable_id(*identity)
    )


MESSAGE_BUILDERS: dict[
    str, Callable[[AsyncConnection, str, Sequence[str]], Awaitable[list[OutgoingMessage]]]
] = {
    DEAD_LETTER: dead_letter_messages,
    COMMAND_RESULT: command_messages,
    COMMAND_CONFLICT: conflict_messages,
    COMMAND_REFUSED: refused_messages,
}
"""How messages of the kinds that every service has are built from the stored rows."""
