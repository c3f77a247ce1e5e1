"""Why a record is rejected: a code for programs, and a message that says what to send instead.

Each kind of mistake has its own code. A message never contains a value of the record, because it
may be personal data and the message is published.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

from shared.database import sqlstate
from shared.events.field_types import InstantString


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record is rejected. The message says where and what is wrong, without any value."""

    code: str
    message: str


Detail = dict[str, Any]
CodeAndMessage = tuple[str, str]

# -- errors of validation

_BY_TYPE: dict[str, CodeAndMessage] = {
    "missing": ("missing_field", "the field is missing"),
    "extra_forbidden": ("unknown_field", "the field is unknown: see the schema of the command"),
    "union_tag_invalid": ("unknown_command", "no such command: see the list of commands"),
    "union_tag_not_found": (
        "no_command",
        "the field `command` is missing: send the name of the command in it",
    ),
    "literal_error": ("unknown_value", "is not one of the allowed values: {expected}"),
    "string_too_long": ("too_long", "is longer than {max_length} characters: shorten it"),
    "string_too_short": ("empty_text", "is empty: send at least {min_length} characters"),
    "too_long": ("too_many", "has more than {max_length} elements: split the document"),
    "too_short": ("too_few", "has fewer than {min_length} elements"),
    "timezone_aware": ("no_time_zone", "is an instant without a time zone: add Z or an offset"),
    "datetime_parsing": (
        "bad_instant",
        'is not an instant such as "2026-03-02T17:00:00Z": {error}',
    ),
    "date_from_datetime_parsing": ("impossible_date", "is a day that no calendar has: {error}"),
    "int_type": (
        "not_a_whole_number",
        "is not a whole number: send one without quotes, point or exponent",
    ),
    "bool_type": ("not_true_or_false", "is neither true nor false: send one without quotes"),
    "tuple_type": ("not_a_list", "is not a list: send [...]"),
    "model_type": ("not_a_group", "is not an object: send {{...}} with the fields of the schema"),
    "dict_type": ("not_a_group", "is not an object: send {{...}}"),
    "string_unicode": (
        "lone_surrogate",
        "has half a character (a lone surrogate): send whole characters",
    ),
}


def _not_text(detail: Detail) -> CodeAndMessage:
    if isinstance(detail["input"], int | float) and not isinstance(detail["input"], bool):
        return (
            "number_for_text",
            'is a JSON number, which may lose digits: send a string such as "7.5"',
        )
    return "not_text", "is not a string: send it in quotes"


def _out_of_range(detail: Detail) -> CodeAndMessage:
    low = "ge" in detail["ctx"]
    limit = detail["ctx"]["ge" if low else "le"]
    if isinstance(limit, str):
        side, code = ("before", "date_too_early") if low else ("after", "date_too_late")
        return code, f"lies {side} {limit}: check the year"
    side, code = ("more", "too_low") if low else ("less", "too_high")
    return code, f"must be {limit} or {side}"


def _bad_form(detail: Detail) -> CodeAndMessage:
    """A string that does not match its pattern; common mistakes in decimals have own codes."""
    text, pattern = detail["input"], detail["ctx"]["pattern"]
    if not re.match(r"\^(-\?)?\[0-9\]", pattern):
        return "bad_form", f"does not have the form {pattern}"
    if text.startswith("-") and "-?" not in pattern:
        return (
            "negative",
            "is negative: send 0 or more; send a correction as a new revision",
        )
    if "," in text:
        return (
            "decimal_comma",
            'has a comma: send decimals with a point and no separators, such as "1234.50"',
        )
    if re.fullmatch(r"-?[0-9]+\.[0-9]+", text) and len(text.partition(".")[2]) > 4:
        return "too_many_decimals", "has more than 4 decimals: round it at its source"
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        return "too_many_digits", f"has more digits than {pattern} allows"
    return (
        "bad_decimal",
        'is not a decimal such as "7.5": send digits and a point only, '
        "no exponent, no NaN, no currency sign",
    )


def _bad_date(detail: Detail) -> CodeAndMessage:
    if not isinstance(detail["input"], str):
        return "not_a_date", 'is not a date: send a string such as "2026-03-02"'
    if re.match(InstantString.pattern, detail["input"]):
        return (
            "date_with_time",
            'is an instant, not a date: send the local date alone, such as "2026-03-02"',
        )
    return (
        "bad_date",
        'does not have the form of a date: send year, month and day such as "2026-03-02"',
    )


def _bad_instant(detail: Detail) -> CodeAndMessage:
    if not isinstance(detail["input"], str):
        return "not_an_instant", 'is not an instant: send a string such as "2026-03-02T17:00:00Z"'
    return "bad_instant", 'does not have the form of an instant such as "2026-03-02T17:00:00Z"'


_BY_INPUT: dict[str, Callable[[Detail], CodeAndMessage]] = {
    "string_type": _not_text,
    "string_pattern_mismatch": _bad_form,
    "date_form": _bad_date,
    "instant_form": _bad_instant,
    "greater_than_equal": _out_of_range,
    "less_than_equal": _out_of_range,
}
_PYDANTIC_TYPES = frozenset(get_args(ErrorType))


def rejection_of(error: ValidationError) -> Rejection:
    """The first error of pydantic as a code and a message, without the values of the record."""
    detail: Detail = dict(error.errors(include_url=False)[0])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "json_invalid":
        return _invalid_json(str(context.get("error", "")))
    where = ".".join(map(_safe_name, detail["loc"])) or "the event"
    if detail["input"] is None and kind.endswith(("_type", "_form")):
        return Rejection(
            "null_field", f"{where}: is null: send a value, or leave out a field that is optional"
        )
    if kind in _BY_INPUT:
        code, message = _BY_INPUT[kind](detail)
    elif kind in _BY_TYPE:
        code, message = _BY_TYPE[kind][0], _BY_TYPE[kind][1].format(**context)
    elif kind in _PYDANTIC_TYPES:
        code, message = "bad_value", "can't be read: see the schema of the event"
    else:  # a type of `shared.events.field_types` raised it: its kind is the code
        code, message = kind, detail["msg"]
    return Rejection(code, f"{where}: {message}")


def _invalid_json(reason: str) -> Rejection:
    where = re.search(r"at line \d+ column \d+$", reason)
    at = f" {where[0]}" if where else ""
    if "recursion" in reason:
        return Rejection(
            "too_deep", f"the JSON is nested too deeply{at}: send the event as its schema says"
        )
    if "hex escape" in reason or "surrogate" in reason:
        return Rejection(
            "lone_surrogate",
            f"the JSON has half a character (a lone surrogate){at}: send whole characters",
        )
    return Rejection("bad_json", f"the value is not strict JSON{at}: send one JSON object")


def _safe_name(part: int | str) -> str:
    """A step of the path to the mistake.

    The sender may have made up the name, so it is shown only if it looks like the name of a field.
    """
    if isinstance(part, int) or re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", part):
        return str(part)
    return "(a field)"


# -- errors of the database

_CHARACTER = (
    "unstorable_character",
    "remove control characters such as NUL (\\u0000) from the text",
)
_BY_SQLSTATE: dict[str, CodeAndMessage] = {
    "22P05": _CHARACTER,
    "22021": _CHARACTER,
    "22003": ("number_too_large", "send a number that people can read, or a string"),
    "22001": ("text_too_large", "send a shorter text"),
    "23514": ("constraint_violated", "send values that the constraints allow"),
    "23502": ("value_missing", "send the missing value"),
    "22000": ("does_not_fit", "send a value within the limits of its type"),
}


def database_rejection(error: BaseException) -> Rejection:
    """Why the database refuses a record, in its own words but without the values it quotes."""
    state = sqlstate(error)
    code, fix = _BY_SQLSTATE.get(
        state, ("refused_by_database", "send it within the limits of the schema")
    )
    inner = getattr(error, "orig", error)
    cause = getattr(inner, "__cause__", None) or inner
    words = str(getattr(cause, "message", None) or type(cause).__name__).split("\n")[0]
    if state == "22000":
        # The driver refused it before the server. Only the last parentheses contain no value.
        found = re.search(r"\(([a-z][a-z0-9 ]{0,60})\)$", str(cause))
        words = found[1] if found else "it does not fit its type"
    elif state.startswith("22"):
        words = re.sub(r'"[^"]*"?|\'[^\']*\'?', "a value", words)
    return Rejection(code, f"the database refuses a value of this record: {words[:200]}; {fix}")
