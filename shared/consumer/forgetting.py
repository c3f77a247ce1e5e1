"""Forget a worker: every service removes what it keeps of him beyond his id.

The id itself stays where amounts rest on it, because an issued document must not change; views show
a pseudonym in its place. A record that arrives again later is stored without what was removed, so a
replayed topic brings nothing back.
"""

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run
from shared.events.commands import ForgetWorker

DIGITS = 12


@dataclass
class Forgotten:
    """What was removed, as words and numbers for the result of the command."""

    counts: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(f"{name}: {count:,}" for name, count in self.counts.items())


def pseudonym_of(worker_id: str) -> str:
    """Return what views show in place of the id; the same in every service."""
    return f"forgotten-{hashlib.sha256(worker_id.encode()).hexdigest()[:DIGITS]}"


def names_worker(content: bytes | None, worker_ids: Collection[str]) -> bool:
    """Return whether a record, readable or not, has one of these ids as a word of its own."""
    if not content:
        return False
    return any(
        re.search(rb"(?<![\w.-])" + re.escape(form) + rb"(?![\w.-])", content)
        for worker_id in worker_ids
        for form in _forms(worker_id)
    )


def _forms(worker_id: str) -> set[bytes]:
    """The id as UTF-8, and with the escapes of JSON."""
    return {worker_id.encode(), json.dumps(worker_id)[1:-1].encode()}


async def forgotten_among(
    connection: AsyncConnection, service: str, worker_ids: Collection[str] | None = None
) -> frozenset[str]:
    """Return the forgotten workers among these, else all."""
    if worker_ids is not None and not worker_ids:
        return frozenset()
    found = await rows(
        connection,
        f"SELECT worker_id FROM {service}.forgotten_worker"
        + (" WHERE worker_id = ANY(:ids)" if worker_ids is not None else ""),
        **({"ids": sorted(worker_ids)} if worker_ids is not None else {}),
    )
    return frozenset(row.worker_id for row in found)


async def forget(connection: AsyncConnection, service: str, command: ForgetWorker) -> Forgotten:
    """Record the worker as forgotten; redact dead letters that name him, and replays of them.

    A dead letter keeps position, code and length, and can be replayed with a value given anew.
    """
    worker_id = command.worker_id
    await run(
        connection,
        f"INSERT INTO {service}.forgotten_worker (worker_id, shown_as, actor, reason, command_id)"
        " VALUES (:id, :shown_as, :actor, :reason, :command_id) ON CONFLICT DO NOTHING",
        id=worker_id,
        shown_as=pseudonym_of(worker_id),
        actor=command.actor,
        reason=command.reason,
        command_id=command.command_id,
    )
    forms = sorted(_forms(worker_id))
    found = await rows(
        connection,
        f"SELECT dead_letter_id, record_key, record_value FROM {service}.dead_letter"
        " WHERE position(:plain IN record_value) > 0 OR position(:escaped IN record_value) > 0",
        plain=forms[0],
        escaped=forms[-1],
    )
    named = [row.dead_letter_id for row in found if names_worker(row.record_value, [worker_id])]
    await run(
        connection,
        f"UPDATE {service}.dead_letter SET record_key = NULL, record_value = '', headers = '[]'"
        " WHERE dead_letter_id = ANY(:ids)",
        ids=named,
    )
    replayed = await rows(
        connection,
        f"SELECT command_id, body ->> 'value' AS value FROM {service}.command"
        " WHERE command = 'replay-dead-letter' AND position(:id IN body ->> 'value') > 0",
        id=worker_id,
    )
    ids = [row.command_id for row in replayed if names_worker(row.value.encode(), [worker_id])]
    await run(
        connection,
        f'UPDATE {service}.command SET body = body || \'{{"value": ""}}\''
        " WHERE command_id = ANY(:ids)",
        ids=ids,
    )
    return Forgotten({"dead letters": len(named), "commands": len(ids)})
