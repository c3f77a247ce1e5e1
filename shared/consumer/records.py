"""Reading a record strictly: an event, or a rejection with a code and a sentence that says what to send instead. Cannot raise."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.events.wire import MESSAGE_BYTES

Event = TypeVar("Event")
UnsaidId = tuple[str, str]
"""What must be said: kind, and the id of the stored row that the message is built from."""


@dataclass(frozen=True, slots=True)
class Record:
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
class Rejection:
    """Why nobody can read a record. The sentence holds no values of the record, only where and what."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A null value on a compacted topic: the thing named by the key is closed from now on."""

    key: str


@dataclass(frozen=True, slots=True)
class Received(Generic[Event]):
    """A readable record: the event, and where it came from."""

    event: Event
    record: Record


@dataclass
class Applied:
    """What a transaction did: what must be said, which records turned out unreadable (conflicts), whether chores became due."""

    unsaid: list[UnsaidId] = field(default_factory=list)
    rejected: list[tuple[Record, Rejection]] = field(default_factory=list)
    chores: bool = False


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
        return Rejection("null_value", f"{record.topic} takes no null value: it is not a compacted topic; send a revision without entries to cancel")
    if not value:
        return Rejection("empty", "the value is empty: send the JSON of the event")
    if len(value) > MESSAGE_BYTES:
        return Rejection("too_large", f"the value has {len(value):,} bytes; the limit is {MESSAGE_BYTES:,}: split the document")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejection("not_utf8", f"the value is not UTF-8 at byte {error.start}: encode the JSON as UTF-8")
    try:
        document = _DECODER.decode(text)
    except _DuplicateKey:
        return Rejection("duplicate_key", "a key stands twice in one JSON object: send each once, a reader can't know which is meant")
    except _NotFinite as error:
        return Rejection("not_finite", f'{error} is not a number that JSON has: send decimals as strings such as "7.5"')
    except RecursionError:
        return Rejection("too_deep", "the JSON is nested too deeply: send the event as its schema says")
    except ValueError as error:
        where = f" at line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        return Rejection("bad_json", f"the value is not JSON{where}: send one JSON object")
    if not isinstance(document, dict):
        return Rejection("not_an_object", f"the value is a JSON {type(document).__name__}, not an object: send one JSON object")
    return text


_CODES = {
    "missing": ("missing_field", "the field is missing"),
    "extra_forbidden": ("unknown_field", "the field is not known here: see the schema of the command"),
    "union_tag_invalid": ("unknown_command", "no such command: see the list of commands"),
    "union_tag_not_found": ("missing_field", "the field `command` is missing"),
    "literal_error": ("unknown_value", "is not one of the allowed values"),
    "string_too_long": ("too_long", "is too long"),
    "string_too_short": ("empty_text", "is empty"),
    "too_long": ("too_many", "has too many elements"),
    "finite_number": ("not_finite", "is not a finite number"),
    "timezone_aware": ("no_time_zone", "is an instant without a time zone: add Z or an offset"),
    "string_pattern_mismatch": ("bad_format", "does not have the form that the schema asks for"),
    "greater_than_equal": ("out_of_range", "is too small"),
    "less_than_equal": ("out_of_range", "is too large"),
}
_VALUE_CODES = (
    ("currency", "unknown_currency"),
    ("time zone", "unknown_time_zone"),
    ("characters", "bad_characters"),
    ("lies outside", "impossible_date"),
    ("shares of the pay plan", "bad_plan"),
    ("two ", "given_twice"),
    ("must be", "out_of_range"),
    ("space", "bad_characters"),
)


def rejection_of(error: ValidationError) -> Rejection:
    """The first of pydantic's errors as a code and a sentence, without the values of the record."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the event"
    kind, message = first["type"], first["msg"]
    if kind in _CODES:
        code, words = _CODES[kind]
        context = {key: value for key, value in first.get("ctx", {}).items() if key in ("expected", "max_length", "ge", "le", "pattern", "expected_tags")}
        return Rejection(code, f"{where}: {words}" + (f" ({', '.join(f'{key} {value}' for key, value in context.items())})" if context else ""))
    if kind == "json_invalid":
        return Rejection("too_deep" if "recursion" in message else "bad_json", "the JSON is nested too deeply: send the event as its schema says")
    if kind.startswith("date"):
        return Rejection("impossible_date", f"{where}: {message.lower()}")
    if kind == "value_error":
        words = message.removeprefix("Value error, ")
        return Rejection(next((code for part, code in _VALUE_CODES if part in words), "bad_value"), f"{where}: {words}")
    return Rejection("wrong_type", f'{where}: {message[0].lower()}{message[1:]}; amounts and hours are strings such as "7.5", dates are like "2026-03-02"')


def reader(model: type[BaseModel] | TypeAdapter[Any], *, compacted: bool = False) -> Callable[[Record], Any]:
    """A function that reads a record as `model`; on a compacted topic a null value is a `Tombstone`."""
    validate = model.validate_json if isinstance(model, TypeAdapter) else model.model_validate_json

    def read(record: Record) -> Any:
        if compacted and record.value is None:
            try:
                key = (record.key or b"").decode()
            except UnicodeDecodeError:
                key = ""
            return Tombstone(key) if key else Rejection("no_key", "a null value needs the key of what it closes")
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


def read_all(read: Callable[[Record], Any], records: Sequence[Record]) -> tuple[list[Received[Any]], list[tuple[Record, Rejection]]]:
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
