"""Dead letters of every service, masked: why and where, and the shape of the record, never its
values.
"""

import json
from typing import Any

from services.console.queries.snapshot import ReadConnection, Row, fetch, fetch_page
from shared.errors import Refused
from shared.stored import as_json

SERVICES = ("fee_realizer", "invoicer", "scheduler", "arg_sync")
COLUMNS = (
    "dead_letter_id, topic, partition_no AS partition, record_offset AS offset, encode(sha256,"
    " 'hex') AS sha256,"
    " value_length, encode(value_sha256, 'hex') AS value_sha256,"
    " code, message, state, closed_by, closed_reason, closed_at, received_at"
)
MAX_DEPTH = 20


async def dead_letters(
    connection: ReadConnection,
    service: str | None = None,
    state: str | None = "open",
    limit: int = 100,
) -> tuple[list[Row], int]:
    """Dead letters, newest first, of one service or of all; and how many there are in all."""
    rows: list[Row] = []
    total = 0
    for name in _services(service):
        found, number = await fetch_page(
            connection,
            f"'{name}' AS service, {COLUMNS}",
            f"{name}.console_dead_letter WHERE CAST(:state AS text) IS NULL OR state = :state",
            "dead_letter_id DESC",
            limit,
            state=state,
        )
        rows += found
        total += number
    return sorted(rows, key=lambda row: row["received_at"], reverse=True)[:limit], total


async def dead_letter(
    connection: ReadConnection, dead_letter_id: int, service: str | None = None
) -> Row:
    """One dead letter with the shape of its record.

    Without `service` only one service may have that number.
    """
    rows: list[Row] = []
    for name in _services(service):
        rows += await fetch(
            connection,
            f"SELECT '{name}' AS service, {COLUMNS}, record_key, record_value, headers"
            f" FROM {name}.console_dead_letter WHERE dead_letter_id = :id",
            id=dead_letter_id,
        )
    if not rows:
        raise Refused(
            "no_such_dead_letter",
            f"{service or 'no service'} has {'no' if service else 'a'} dead letter"
            f" {dead_letter_id}",
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
    names = [each[0] for each in as_json(headers)]
    kept, length = len(value or b""), row["value_length"] or 0
    shape = masked(value) if kept >= length else f"<the first {kept:,} of {length:,} bytes>"
    return row | {"key": masked_bytes(key), "value": shape, "headers": names}


def masked(value: bytes | None) -> Any:
    """The structure of a record: its field names without their values."""
    if value is None:
        return "no value (a tombstone)"
    try:
        return _shape(json.loads(value), 0)
    except (ValueError, RecursionError):
        return masked_bytes(value)


def masked_bytes(value: bytes | None) -> str:
    """How many bytes there are, in place of the bytes."""
    return "none" if value is None else f"<{len(value):,} bytes>"


def _shape(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return "<deeper>"
    if isinstance(value, dict):
        return {name[:60]: _shape(one, depth + 1) for name, one in list(value.items())[:100]}
    if isinstance(value, list):
        more = [f"<{len(value) - 1} more>"] if len(value) > 1 else []
        return [*(_shape(one, depth + 1) for one in value[:1]), *more]
    if isinstance(value, str):
        return f"<text of {len(value)}>"
    return {bool: "<true or false>", type(None): "<null>"}.get(type(value), "<number>")


def _services(service: str | None) -> tuple[str, ...]:
    """The named service, else all. Refused if there is no such service."""
    if not service:
        return SERVICES
    if service not in SERVICES:
        raise Refused(
            "unknown_service", f"{service!r} is not a service", f"use one of {', '.join(SERVICES)}"
        )
    return (service,)
