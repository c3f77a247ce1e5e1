"""Dead letters of every service, masked: people see why and where, and the shape of the record, never what stood in it."""

import json
from typing import Any

from services.console.client.books import ReadConnection, Row, found
from shared.errors import Refused
from shared.stored import as_json

SERVICES = ("fee_realizer", "invoicer", "scheduler", "arg_sync")
LETTER = (
    "dead_letter_id, topic, partition_no AS partition, record_offset AS offset, encode(sha256, 'hex') AS sha256, code, message, state,"
    " closed_by, closed_reason, closed_at, received_at"
)
DEEPEST = 20


async def dead_letters(
    connection: ReadConnection,
    service: str | None = None,
    state: str | None = "open",
    limit: int = 100,
) -> tuple[list[Row], int]:
    """Dead letters, newest first, of one service or of all; and how many there are in all."""
    rows: list[Row] = []
    total = 0
    for name in (service,) if service else SERVICES:
        which = (
            f"FROM {_known(name)}.dead_letter WHERE CAST(:state AS text) IS NULL OR state = :state"
        )
        total += (await found(connection, f"SELECT count(*) AS number {which}", state=state))[0][
            "number"
        ]
        rows += await found(
            connection,
            f"SELECT '{name}' AS service, {LETTER} {which} ORDER BY dead_letter_id DESC LIMIT :most",
            state=state,
            most=limit,
        )
    return sorted(rows, key=lambda row: row["received_at"], reverse=True)[:limit], total


async def dead_letter(
    connection: ReadConnection, dead_letter_id: int, service: str | None = None
) -> Row:
    """One dead letter with the shape of its record. Without `service` it must be the only one of that number."""
    rows: list[Row] = []
    for name in (service,) if service else SERVICES:
        rows += await found(
            connection,
            f"SELECT '{name}' AS service, {LETTER}, record_key, record_value, headers FROM {_known(name)}.dead_letter WHERE dead_letter_id = :id",
            id=dead_letter_id,
        )
    if not rows:
        raise Refused(
            "no_such_dead_letter",
            f"{service or 'no service'} has {'no' if service else 'a'} dead letter {dead_letter_id}",
            "see `backoffice dead-letters list`",
        )
    if len(rows) > 1:
        raise Refused(
            "ambiguous_dead_letter",
            f"{', '.join(row['service'] for row in rows)} each have a dead letter {dead_letter_id}",
            "name one with --service",
        )
    row = rows[0]
    key, value, headers = row.pop("record_key"), row.pop("record_value"), row.pop("headers")
    return row | {
        "key": masked_text(key),
        "value": masked(value),
        "headers": [each[0] for each in as_json(headers)],
    }


def masked(value: bytes | None) -> Any:
    """The structure of a record: field names stand, values do not."""
    if value is None:
        return "no value (a tombstone)"
    try:
        return _shape(json.loads(value), 0)
    except (ValueError, RecursionError):
        return masked_text(value)


def masked_text(value: bytes | None) -> str:
    """How much there is of bytes that are not shown."""
    return "none" if value is None else f"<{len(value):,} bytes>"


def _shape(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        return "<deeper>"
    if isinstance(value, dict):
        return {name[:60]: _shape(one, depth + 1) for name, one in list(value.items())[:100]}
    if isinstance(value, list):
        return (
            [_shape(value[0], depth + 1), *([f"<{len(value) - 1} more>"] if len(value) > 1 else [])]
            if value
            else []
        )
    if isinstance(value, str):
        return f"<text of {len(value)}>"
    return {bool: "<true or false>", type(None): "<null>"}.get(type(value), "<number>")


def _known(service: str) -> str:
    if service not in SERVICES:
        raise Refused(
            "unknown_service", f"{service!r} is not a service", f"say one of {', '.join(SERVICES)}"
        )
    return service
