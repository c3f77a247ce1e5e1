"""Parse a record strictly: the result is an event, or a rejection that says what to send instead.

No value makes parsing raise: what is wrong with it is the rejection.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isinf
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.broker.producer import OutgoingMessage
from shared.consumer.performance.unique_keys import has_unique_keys
from shared.consumer.rejections import Rejection, rejection_of
from shared.consumer.unpacking import OversizedValue
from shared.errors import Refused
from shared.events.field_types import MESSAGE_BYTES

__all__ = [
    "Applied",
    "OutboxId",
    "Received",
    "Record",
    "Rejection",
    "Tombstone",
    "read_records",
    "reader",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Event = TypeVar("Event")
OutboxId = tuple[str, str]
"""An entry of the outbox: its kind, and the id of the row, or of the many rows of a chunk, that its
messages are built from."""


class Record(NamedTuple):
    """A Kafka record as undecoded bytes. `topic` has no prefix.

    `appended_ms`: when the broker received it, in ms since 1970; None where only its sender says.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    appended_ms: int | None = None

    @property
    def appended_at(self) -> datetime | None:
        """The instant of `appended_ms`."""
        return (
            None if self.appended_ms is None else EPOCH + timedelta(milliseconds=self.appended_ms)
        )

    @property
    def sha256(self) -> bytes:
        """Distinguishes records with equal offsets: they restart when a topic is created again."""
        value = self.value or b""
        content = value.value_sha256 if isinstance(value, OversizedValue) else value
        return hashlib.sha256((self.key or b"") + b"\x00" + content).digest()


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A null value on a compacted topic: it closes the entity that the key names."""

    key: str


class Received(NamedTuple, Generic[Event]):
    """A valid record: the event, and the record that it was parsed from."""

    event: Event
    record: Record


@dataclass
class Applied:
    """The result of a transaction.

    The messages of `publish_now` are built in the transaction and published directly after it.
    Those of `publish_after` are published last, in chunks that are read from the stored rows.
    `prebuilt` has messages of `publish_now` that were built from the values just written, so that
    the rows are not read again. `rejected` are records with conflicting content. `refused` says
    why a command was not tried. `jobs_due` says that background jobs have work.
    """

    publish_now: list[OutboxId] = field(default_factory=list)
    publish_after: list[OutboxId] = field(default_factory=list)
    prebuilt: dict[OutboxId, Sequence[OutgoingMessage]] = field(default_factory=dict)
    rejected: list[tuple[Record, Rejection]] = field(default_factory=list)
    refused: Refused | None = None
    jobs_due: bool = False

    def add(self, other: "Applied") -> None:
        """Take over everything of another result of the same transaction."""
        self.publish_now += other.publish_now
        self.publish_after += other.publish_after
        self.prebuilt |= other.prebuilt
        self.rejected += other.rejected
        self.jobs_due |= other.jobs_due


class _Rejected(ValueError):
    """Raised with the code and the message of a rejection."""


def _refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Rejected(
            "duplicate_key",
            "a JSON object has the same key twice: send each once, "
            "a reader cannot know which value is right",
        )
    return found


def _refuse_constant(name: str) -> None:
    raise _Rejected(
        "not_a_number" if name == "NaN" else "infinite",
        f'{name} is not a JSON number: send decimals as strings such as "7.5"',
    )


def _finite(text: str) -> float:
    """A number of a field without a type of its own. 1e999999 would become infinity."""
    value = float(text)
    if isinf(value):
        message = "a number is too large: send a number that people can read, or a string"
        raise _Rejected("number_too_large", message)
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_refuse_duplicate_keys, parse_constant=_refuse_constant, parse_float=_finite
)


def _json_text(record: Record) -> str:
    """The record's JSON text, if it is a small, well-formed object with unique keys."""
    value = record.value
    if isinstance(value, OversizedValue):
        raise _Rejected(
            "too_large",
            f"the record has {value.record_bytes:,} bytes, its value {value.length:,}; "
            f"the limit is {MESSAGE_BYTES:,}: split the document",
        )
    if value is None:
        raise _Rejected(
            "null_value",
            f"the value is null, but {record.topic} is not a compacted topic: "
            "send a revision without entries to cancel",
        )
    if not value:
        raise _Rejected("empty", "the value is empty: send the JSON of the event")
    if len(value) > MESSAGE_BYTES:
        raise _Rejected(
            "too_large",
            f"the value has {len(value):,} bytes; the limit is {MESSAGE_BYTES:,}: "
            "split the document",
        )
    if value.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Rejected(
            "utf16", "the value is UTF-16: encode the JSON as UTF-8 without a byte order mark"
        )
    if value.startswith(b"\xef\xbb\xbf"):
        raise _Rejected(
            "byte_order_mark", "the value begins with a byte order mark: send the JSON without it"
        )
    text = _decode(value, "not_utf8", "value", "encode the JSON as UTF-8")
    if not text.strip():
        raise _Rejected("blank", "the value has spaces only: send the JSON of the event")
    document = _decode_json(text)
    if document is None:
        raise _Rejected(
            "json_null",
            "the value is the JSON literal null: send the event; "
            "a record without a value closes an entity",
        )
    if not isinstance(document, dict):
        raise _Rejected(
            "not_an_object",
            f"the value is a JSON {type(document).__name__}, not an object: send one JSON object",
        )
    return text


def _decode(value: bytes, code: str, part: str, fix: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        message = f"the {part} is not UTF-8 at byte {error.start}: {fix}"
        raise _Rejected(code, message) from error


def _decode_json(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except _Rejected:
        raise
    except RecursionError as error:
        message = "the JSON is nested too deeply: send the event as its schema says"
        raise _Rejected("too_deep", message) from error
    except json.JSONDecodeError as error:
        where = f"at line {error.lineno} column {error.colno}"
        code, message = "bad_json", f"the value is not JSON {where}: send one JSON object"
        if error.msg == "Extra data":
            code = "trailing_data"
            message = f"the value continues after the object {where}: send one object a record"
        raise _Rejected(code, message) from error
    except ValueError as error:
        message = "a number has thousands of digits: send fewer digits"
        raise _Rejected("number_too_long", message) from error


def _tombstone(record: Record) -> Tombstone:
    if not record.key:
        raise _Rejected("no_key", "a null value closes the entity that its key names: send the key")
    return Tombstone(
        _decode(record.key, "key_not_utf8", "key of a null value", "encode it as UTF-8")
    )


def reader(
    model: type[BaseModel] | TypeAdapter[Any], *, compacted: bool = False
) -> Callable[[Record], Any]:
    """A function that parses a record as `model`, or as a `Tombstone` on a compacted topic."""
    validate = model.validate_json if isinstance(model, TypeAdapter) else model.model_validate_json

    def read(record: Record) -> Any:
        value = record.value
        if type(value) is bytes and len(value) <= MESSAGE_BYTES and value.startswith(b"{"):
            try:
                event = validate(value)
                if has_unique_keys(value, event):
                    return event
            except (ValidationError, RecursionError, ValueError, OverflowError):
                pass  # `read_with_checks` finds the reason
        return read_with_checks(record)

    def read_with_checks(record: Record) -> Any:
        try:
            if compacted and record.value is None:
                return _tombstone(record)
            return validate(_json_text(record))
        except _Rejected as rejected:
            return Rejection(*rejected.args)
        except ValidationError as error:
            return rejection_of(error)
        except (RecursionError, ValueError, OverflowError) as error:
            return Rejection("bad_value", f"the event can't be read: {type(error).__name__}")

    return read


def read_records(
    read: Callable[[Record], Any], records: Sequence[Record]
) -> tuple[list[Received[Any]], list[tuple[Record, Rejection]]]:
    """Parse each record separately, so that an invalid one does not affect the others."""
    valid: list[Received[Any]] = []
    rejected: list[tuple[Record, Rejection]] = []
    for record in records:
        event = read(record)
        if isinstance(event, Rejection):
            rejected.append((record, event))
        elif event is not None:  # None: a command that another service owns
            valid.append(Received(event, record))
    return valid, rejected
