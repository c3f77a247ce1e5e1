"""Reading a record strictly: an event, or a rejection with a code and a message that says what to send instead. Cannot raise."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.broker.producer import OutgoingMessage
from shared.consumer.keys import has_unique_keys
from shared.consumer.rejections import Rejection, rejection_of
from shared.events.field_types import MESSAGE_BYTES

__all__ = [
    "Applied",
    "OutboxId",
    "Received",
    "Record",
    "Rejection",
    "Tombstone",
    "check_json",
    "read_all",
    "reader",
]

Event = TypeVar("Event")
OutboxId = tuple[str, str]
"""What must be said: kind, and the id of the stored row that the message is built from."""


class Record(NamedTuple):
    """A Kafka record as bytes: nothing of it has been interpreted. `topic` is without prefix."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def sha256(self) -> bytes:
        """Tells records apart where offsets restart because a topic was made anew."""
        return hashlib.sha256((self.key or b"") + b"\x00" + (self.value or b"")).digest()


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A null value on a compacted topic: the thing named by the key is closed from now on."""

    key: str


class Received(NamedTuple, Generic[Event]):
    """A readable record: the event, and where it came from."""

    event: Event
    record: Record


@dataclass
class Applied:
    """What a transaction did: what must be said, which records turned out unreadable (conflicts), whether background jobs became due.

    `built` are messages of in the outbox ids, made from the very values that the rows were written with: they need not be read again.
    `later` is in the outbox, too, and said after the rest: read from the stored rows slice by slice, however much it is.
    """

    publish_now: list[OutboxId] = field(default_factory=list)
    publish_after: list[OutboxId] = field(default_factory=list)
    prebuilt: dict[OutboxId, Sequence[OutgoingMessage]] = field(default_factory=dict)
    rejected: list[tuple[Record, Rejection]] = field(default_factory=list)
    jobs_due: bool = False


class _DuplicateKey(ValueError):
    pass


class _NotFinite(ValueError):
    pass


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKey
    return found


def _refuse_constant(name: str) -> None:
    raise _NotFinite(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_refuse_constant)


def check_json(record: Record) -> str | Rejection:
    """The record's JSON text if it is well-formed, small, flat and has no key twice; else why not."""
    value = record.value
    if value is None:
        return Rejection(
            "null_value",
            f"{record.topic} takes no null value: it is not a compacted topic; send a revision without entries to cancel",
        )
    if not value:
        return Rejection("empty", "the value is empty: send the JSON of the event")
    if len(value) > MESSAGE_BYTES:
        return Rejection(
            "too_large",
            f"the value has {len(value):,} bytes; the limit is {MESSAGE_BYTES:,}: split the document",
        )
    if value.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Rejection(
            "utf16", "the value is UTF-16: encode the JSON as UTF-8 without a byte order mark"
        )
    if value.startswith(b"\xef\xbb\xbf"):
        return Rejection(
            "byte_order_mark", "the value begins with a byte order mark: send the JSON without it"
        )
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejection(
            "not_utf8", f"the value is not UTF-8 at byte {error.start}: encode the JSON as UTF-8"
        )
    return _decoded(text)


def _decoded(text: str) -> str | Rejection:
    if not text.strip():
        return Rejection("blank", "the value holds spaces only: send the JSON of the event")
    try:
        document = _DECODER.decode(text)
    except _DuplicateKey:
        return Rejection(
            "duplicate_key",
            "a key stands twice in one JSON object: send each once, a reader can't know which is meant",
        )
    except _NotFinite as error:
        if str(error) == "NaN":
            return Rejection(
                "not_a_number",
                'NaN is not a number that JSON has: send decimals as strings such as "7.5"',
            )
        return Rejection(
            "infinite",
            f'{error} is not a number that JSON has: send decimals as strings such as "7.5"',
        )
    except RecursionError:
        return Rejection(
            "too_deep", "the JSON is nested too deeply: send the event as its schema says"
        )
    except json.JSONDecodeError as error:
        where = f"at line {error.lineno} column {error.colno}"
        if error.msg == "Extra data":
            return Rejection(
                "trailing_data",
                f"something follows the JSON object {where}: send one object a record",
            )
        return Rejection("bad_json", f"the value is not JSON {where}: send one JSON object")
    except ValueError:
        return Rejection(
            "number_too_long", "a number has thousands of digits: send numbers that people can read"
        )
    if document is None:
        return Rejection(
            "json_null",
            "the value is the JSON word null: send the event; a thing is closed by a record without a value",
        )
    if not isinstance(document, dict):
        return Rejection(
            "not_an_object",
            f"the value is a JSON {type(document).__name__}, not an object: send one JSON object",
        )
    return text


def _tombstone(record: Record) -> Tombstone | Rejection:
    if not record.key:
        return Rejection("no_key", "a null value closes the thing that its key names: send the key")
    try:
        return Tombstone(record.key.decode())
    except UnicodeDecodeError as error:
        return Rejection(
            "key_not_utf8",
            f"the key of a null value is not UTF-8 at byte {error.start}: encode it as UTF-8",
        )


def reader(
    model: type[BaseModel] | TypeAdapter[Any], *, compacted: bool = False
) -> Callable[[Record], Any]:
    """A function that reads a record as `model`; on a compacted topic a null value is a `Tombstone`."""
    validate = model.validate_json if isinstance(model, TypeAdapter) else model.model_validate_json

    def read(record: Record) -> Any:
        value = record.value
        if compacted and value is None:
            return _tombstone(record)
        if value and len(value) <= MESSAGE_BYTES and value.startswith(b"{"):
            try:
                event = validate(value)
                if has_unique_keys(value, event):
                    return event
            except (ValidationError, RecursionError, ValueError, OverflowError):
                pass  # read again below, by the words
        return slowly(record)

    def slowly(record: Record) -> Any:
        """Finds what is wrong, and says it."""
        text = check_json(record)
        if isinstance(text, Rejection):
            return text
        try:
            return validate(text)
        except ValidationError as error:
            return rejection_of(error)
        except (RecursionError, ValueError, OverflowError) as error:
            return Rejection("bad_value", f"the event can't be read: {type(error).__name__}")

    return read


def read_all(
    read: Callable[[Record], Any], records: Sequence[Record]
) -> tuple[list[Received[Any]], list[tuple[Record, Rejection]]]:
    """Reads each record on its own: one that nobody can read never touches its neighbours."""
    good: list[Received[Any]] = []
    bad: list[tuple[Record, Rejection]] = []
    for record in records:
        event = read(record)
        if isinstance(event, Rejection):
            bad.append((record, event))
        elif event is not None:  # None: a command that another service owns
            good.append(Received(event, record))
    return good, bad
