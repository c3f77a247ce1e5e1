"""What a dead letter keeps of a record: at most 64 kB of key, value and headers each.

Headers and time are kept because the signature of a command is in them.
"""

import hashlib
import json
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from pydantic_core import from_json

from shared.consumer.forgetting import names_worker
from shared.consumer.records import EPOCH, Record
from shared.consumer.unpacking import KEPT_BYTES, OversizedValue

NO_HEADERS = {"headers": "[]"}


def content(record: Record, forgotten: Collection[str] = ()) -> dict[str, Any]:
    """The columns of a dead letter that hold the record, with length and SHA-256 of its value.

    Of a record that names a `forgotten` worker only these two are kept.
    """
    value, length, sha256 = record.value, None, None
    if isinstance(value, OversizedValue):
        length, sha256 = value.length, value.value_sha256
    elif value is not None:
        length, sha256 = len(value), hashlib.sha256(value).digest()
    if names_worker(value, forgotten):
        nothing = {"key": None, "value": b"", "appended_at": None} | NO_HEADERS
        return nothing | {"value_length": length, "value_sha": sha256}
    return {
        "key": None if record.key is None else record.key[:KEPT_BYTES],
        "value": None if value is None else bytes(value[:KEPT_BYTES]),
        "value_length": length,
        "value_sha": sha256,
        "headers": json.dumps(_headers(record)),
        "appended_at": record.appended_at,
    }


def record_of(row: Any) -> Record:
    """The record that a row keeps, with its headers and the time at which it reached the broker."""
    headers = json.loads(row.headers) if isinstance(row.headers, str) else row.headers
    at = row.appended_at
    return Record(
        row.topic,
        row.partition_no,
        row.record_offset,
        row.record_key,
        row.record_value,
        tuple((name, None if value is None else bytes.fromhex(value)) for name, value in headers),
        None if at is None else (at - EPOCH) // timedelta(milliseconds=1),
    )


def _headers(record: Record) -> list[tuple[str, str | None]]:
    """Names and hexadecimal values of the first headers, without what PostgreSQL cannot store."""
    found: list[tuple[str, str | None]] = []
    room = KEPT_BYTES
    for name, value in record.headers:
        room -= len(name) + len(value or b"")
        if room < 0:
            break
        found.append((name.replace("\0", ""), None if value is None else value.hex()))
    return found


def partial_json(value: bytes | None) -> Any:
    """The JSON of a value that may have been cut off. Raises ValueError."""
    if value is None or len(value) < KEPT_BYTES:
        try:
            return json.loads(value or b"")  # NaN too: the id beside it is what is wanted
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
    return from_json(value.decode("utf-8", "ignore"), allow_partial="trailing-strings")
