"""The tables that every service has in its own schema: what is in the outbox, dead letters, answered commands. The SQL of the protocol."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.producer import OutgoingMessage, stable_id
from shared.broker.topics import COMMAND_RESULTS, OPERATOR_COMMANDS, dead_letter_topic
from shared.consumer.records import OutboxId, Record, Rejection
from shared.database import rows, run
from shared.events.billing import CommandResult
from shared.events.field_types import MESSAGE_BYTES

DEAD_LETTER = "dead-letter"
COMMAND_RESULT = "command-result"
COMMAND_CONFLICT = "command-conflict"


CHUNK_BYTES = 2_000
"""An id is a key of its table, and a key of a B-tree has at most 2,704 bytes. What names one announcement has less than 900."""

SHORTENED, FINDINGS = "shortened", "findings"
WORTH_EMPTYING = 1_000
"""Bytes of a detail: where none has more there are too many of them."""

KEY_LENGTH = 2_000
"""Of the key of an unreadable record, which may be as long as a message, and longer as text: more is not repeated when the record is told of."""


def parcels(kind: str, names: Iterable[str]) -> Iterator[tuple[OutboxId, int]]:
    """Unsaid ids that stand for many announcements of a kind, each with for how many: one row for each would be written and deleted.
    `names` tell them in JSON."""
    parcel: list[str] = []
    size = 0
    for name in names:
        more = len(name.encode()) + 1
        if size + more > CHUNK_BYTES:
            yield (kind, f"[{','.join(parcel)}]"), len(parcel)
            parcel, size = [], 0
        parcel.append(name)
        size += more
    if parcel:
        yield (kind, f"[{','.join(parcel)}]"), len(parcel)


def in_chunks(ids: Iterable[str]) -> list[Any]:
    """What the announcements of these parcels are named."""
    return [name for an_id in ids for name in json.loads(an_id)]


async def update_outbox(
    connection: AsyncConnection,
    service: str,
    ids: Sequence[OutboxId],
    said: Iterable[OutboxId] = (),
) -> None:
    """Keeps what must be said, in the transaction that made it true, and forgets what has been `said` (other ids), in one step."""
    gone = sorted(said)
    forget = (
        f"DELETE FROM {service}.outbox u USING unnest(CAST(:said_kinds AS text[]), CAST(:said_ids AS text[])) AS s(kind, id)"
        " WHERE u.kind = s.kind AND u.id = s.id"
    )
    keep = f"INSERT INTO {service}.outbox SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:ids AS text[])) ON CONFLICT DO NOTHING"
    new = {"kinds": [kind for kind, _ in ids], "ids": [an_id for _, an_id in ids]}
    old = {"said_kinds": [kind for kind, _ in gone], "said_ids": [an_id for _, an_id in gone]}
    if ids and gone:
        await run(connection, f"WITH forgotten AS ({forget}) {keep}", **new, **old)
    elif ids:
        await run(connection, keep, **new)
    elif gone:
        await run(connection, forget, **old)


async def outbox_entries(connection: AsyncConnection, service: str, limit: int) -> list[OutboxId]:
    """What is stored as in the outbox, oldest kinds first."""
    return [
        (row.kind, row.id)
        for row in await rows(
            connection,
            f"SELECT kind, id FROM {service}.outbox ORDER BY kind, id LIMIT :most",
            most=limit,
        )
    ]


async def add_dead_letters(
    connection: AsyncConnection, service: str, rejected: Sequence[tuple[Record, Rejection]]
) -> list[OutboxId]:
    """Keeps unreadable records with everything that came; the ids of those that are new. The same record again changes nothing."""
    new: list[OutboxId] = []
    for record, rejection in rejected:
        found = await connection.scalar(
            text(
                f"INSERT INTO {service}.dead_letter (topic, partition_no, record_offset, sha256, record_key, record_value, headers, code, message)"
                " VALUES (:topic, :partition, :offset, :sha, :key, :value, CAST(:headers AS jsonb), :code, :message)"
                " ON CONFLICT DO NOTHING RETURNING dead_letter_id"
            ),
            {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "sha": record.sha256,
                "key": record.key,
                "value": record.value,
                "headers": json.dumps(
                    [
                        [name.replace("\0", ""), None if value is None else value.hex()]
                        for name, value in record.headers
                    ]
                ),
                "code": rejection.code,
                "message": rejection.message,
            },
        )
        if found is not None:
            new.append((DEAD_LETTER, str(found)))
    return new


async def dead_letter_messages(
    connection: AsyncConnection, service: str, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Ids and reason only: what stood in the record stays in the table."""
    found = await rows(
        connection,
        "SELECT dead_letter_id, topic, partition_no, record_offset, encode(sha256, 'hex') AS sha256, record_key, record_value, code, message"
        f" FROM {service}.dead_letter WHERE dead_letter_id = ANY(CAST(:ids AS bigint[]))",
        ids=[int(an_id) for an_id in ids],
    )
    answers = [
        answer
        for row in found
        if row.topic == OPERATOR_COMMANDS.name
        for answer in _refusal_of(row, service)
    ]
    return answers + [
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


def _refusal_of(row: Any, service: str) -> list[OutgoingMessage]:
    """Who sends a command that nobody can read is answered, if at least its id can be read."""
    try:
        body = json.loads(row.record_value)
        command_id, command = (
            body["command_id"],
            str(body.get("command", "")).encode("utf-8", "replace").decode(),
        )
        command_id.encode()  # half a character (a lone surrogate) can be read but not said
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []
    if not isinstance(command_id, str) or not command_id:
        return []
    result = CommandResult(
        command_id=command_id[:200], command=command[:100], service=service, outcome="refused", code=row.code, message=row.message,
        fix="fix the command and send it with a new command_id",
    )  # fmt: skip
    return [
        OutgoingMessage(
            COMMAND_RESULTS.name,
            result.command_id,
            result.model_dump_json().encode(),
            stable_id(service, DEAD_LETTER, row.dead_letter_id, "r"),
        )
    ]


async def command_messages(
    connection: AsyncConnection, service: str, kind: str, ids: Sequence[str]
) -> list[OutgoingMessage]:
    """Stored answers to commands, as they were given the first time."""
    if kind == COMMAND_CONFLICT:
        pairs = [json.loads(an_id) for an_id in ids]
        found = await rows(
            connection,
            f"SELECT c.command_id, c.result FROM {service}.command_conflict c JOIN unnest(CAST(:ids AS text[]), CAST(:shas AS text[])) AS s(id, sha)"
            " ON c.command_id = s.id AND encode(c.body_sha256, 'hex') = s.sha",
            ids=[pair[0] for pair in pairs],
            shas=[pair[1] for pair in pairs],
        )
    else:
        found = await rows(
            connection,
            f"SELECT command_id, result FROM {service}.command WHERE command_id = ANY(CAST(:ids AS text[]))",
            ids=list(ids),
        )
    return [
        OutgoingMessage(
            COMMAND_RESULTS.name,
            row.command_id,
            _as_said(row.result),
            stable_id(service, kind, row.command_id),
        )
        for row in found
    ]


def fitting(result: CommandResult) -> CommandResult:
    """The result as a message holds it. It is said as it was stored, so what is too much goes before: the longest of its details is emptied, and
    the next; findings are halved. `shortened` names what is not whole. What a command changed is kept with the command, whatever is said of it."""
    short: list[str] = []
    while len(_as_said(result.model_dump(mode="json"))) > MESSAGE_BYTES:
        sizes = {
            name: len(_as_said(value))
            for name, value in result.details.items()
            if name not in (*short, SHORTENED)
        }
        sizes |= {FINDINGS: len(_as_said([finding.model_dump() for finding in result.findings]))}
        longest = max(sizes, key=lambda name: sizes[name])
        if sizes[longest] < WORTH_EMPTYING:
            return result.model_copy(update={"details": {SHORTENED: ["details"]}})
        short += [longest] if longest not in short else []
        if longest == FINDINGS:
            changed: dict[str, Any] = {FINDINGS: result.findings[: len(result.findings) // 2]}
            details = result.details
        else:
            changed, details = {}, result.details | {longest: _emptied(result.details[longest])}
        result = result.model_copy(update=changed | {"details": details | {SHORTENED: short}})
    return result


def _emptied(value: Any) -> Any:
    """Nothing of the same kind, so that whoever reads it finds what they look for."""
    return type(value)() if isinstance(value, list | dict | str) else None


def _as_said(result: Any) -> bytes:
    return json.dumps(result, ensure_ascii=False).encode()


async def command_answer(connection: AsyncConnection, service: str, command_id: str) -> Any | None:
    """The stored answer row (`body_sha256`, `result`) of a command, or None."""
    found = await rows(
        connection,
        f"SELECT body_sha256, result FROM {service}.command WHERE command_id = :id",
        id=command_id,
    )
    return found[0] if found else None


async def add_command(connection: AsyncConnection, service: str, values: dict[str, Any]) -> None:
    """Keeps an answered command with who, why, before and after."""
    await run(
        connection,
        f"INSERT INTO {service}.command (command_id, command, billing_company, actor, reason, body, body_sha256, outcome, result, before, after, subjects)"
        " VALUES (:command_id, :command, :billing_company, :actor, :reason, CAST(:body AS jsonb), :sha, :outcome, CAST(:result AS jsonb),"
        " CAST(:before AS jsonb), CAST(:after AS jsonb), CAST(:subjects AS text[]))",
        **values,
    )


async def add_command_conflict(
    connection: AsyncConnection, service: str, command_id: str, sha: bytes, result: str
) -> None:
    """Keeps the refusal of a command id that was used for something else."""
    await run(
        connection,
        f"INSERT INTO {service}.command_conflict (command_id, body_sha256, result) VALUES (:id, :sha, CAST(:result AS jsonb)) ON CONFLICT DO NOTHING",
        id=command_id,
        sha=sha,
        result=result,
    )


async def open_dead_letter(
    connection: AsyncConnection, service: str, dead_letter_id: int
) -> Any | None:
    """A dead letter's row, locked; None if there is none."""
    found = await rows(
        connection,
        "SELECT dead_letter_id, topic, partition_no, record_offset, record_key, record_value, headers, code, message, state"
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
    """Marks a dead letter as replayed or discarded."""
    await run(
        connection,
        f"UPDATE {service}.dead_letter SET state = :state, closed_by = :actor, closed_reason = :reason, closed_at = now() WHERE dead_letter_id = :id",
        state=state,
        actor=actor,
        reason=reason,
        id=dead_letter_id,
    )


async def counts(connection: AsyncConnection, service: str) -> tuple[int, int]:
    """How many dead letters are open, and how many announcements in the outbox: for the metrics."""
    row = (
        await rows(
            connection,
            f"SELECT (SELECT count(*) FROM {service}.dead_letter WHERE state = 'open') AS letters, (SELECT count(*) FROM {service}.outbox) AS outbox",
        )
    )[0]
    return row.letters, row.outbox
