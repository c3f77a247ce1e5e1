"""Why nobody can read a record: a code for programs, and a message that says where it is wrong and what to send instead.

Each kind of mistake has a code of its own. Sentences never hold a value of the record: it may be personal, and they are said aloud.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

from shared.events.field_types import InstantString


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why nobody can read a record. The message holds no values of the record, only where and what."""

    code: str
    message: str


Detail = dict[str, Any]
_PLAIN: dict[str, tuple[str, str]] = {
    "missing": ("missing_field", "the field is missing"),
    "extra_forbidden": (
        "unknown_field",
        "the field is not known here: see the schema of the command",
    ),
    "union_tag_invalid": (
        "unknown_command",
        "no such command: see the list of commands and their owners",
    ),
    "union_tag_not_found": (
        "no_command",
        "the field `command` is missing: it says which command this is",
    ),
    "literal_error": ("unknown_value", "is not one of the values that are allowed: {expected}"),
    "string_too_long": ("too_long", "is longer than {max_length} characters: shorten it"),
    "string_too_short": ("empty_text", "is empty: send a text of at least {min_length} characters"),
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
    "bool_type": (
        "not_true_or_false",
        "is neither true nor false: send one of them without quotes",
    ),
    "tuple_type": ("not_a_list", "is not a list: send [...]"),
    "model_type": ("not_a_group", "is not an object: send {{...}} with the fields of the schema"),
    "dict_type": ("not_a_group", "is not an object: send {{...}}"),
    "string_unicode": (
        "lone_surrogate",
        "holds half a character (a lone surrogate): send whole characters",
    ),
}


def _text_expected(detail: Detail) -> tuple[str, str]:
    if isinstance(detail["input"], int | float) and not isinstance(detail["input"], bool):
        return (
            "number_for_text",
            'is a JSON number: send a string such as "7.5", a JSON number loses digits on its way',
        )
    return "not_text", "is not a string: send it in quotes"


def _low(detail: Detail) -> tuple[str, str]:
    limit = detail["ctx"]["ge"]
    return (
        ("date_too_early", f"lies before {limit}: is the year right?")
        if isinstance(limit, str)
        else ("too_low", f"must be {limit} or more")
    )


def _high(detail: Detail) -> tuple[str, str]:
    limit = detail["ctx"]["le"]
    return (
        ("date_too_late", f"lies after {limit}: is the year right?")
        if isinstance(limit, str)
        else ("too_high", f"must be {limit} or less")
    )


def _form(detail: Detail) -> tuple[str, str]:
    """A string that does not have its form: what people get wrong in decimals has a code of its own."""
    text, pattern = detail["input"], detail["ctx"]["pattern"]
    if not re.match(r"\^(-\?)?\[0-9\]", pattern):
        return "bad_form", f"does not have the form {pattern}"
    if text.startswith("-") and "-?" not in pattern:
        return (
            "negative",
            "is negative: send 0 or more; a correction is a new revision with the right hours",
        )
    if "," in text:
        return (
            "decimal_comma",
            'holds a comma: write decimals with a point and no separators, such as "1234.50"',
        )
    if re.fullmatch(r"-?[0-9]+\.[0-9]+", text) and len(text.partition(".")[2]) > 4:
        return "too_many_decimals", "has more than 4 decimals: round it at its source"
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        return "too_many_digits", f"has more digits than {pattern} allows"
    return (
        "bad_decimal",
        'is not a decimal such as "7.5": digits and a point only, no exponent, no NaN, no currency sign',
    )


def _date_form(detail: Detail) -> tuple[str, str]:
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


def _instant_form(detail: Detail) -> tuple[str, str]:
    if not isinstance(detail["input"], str):
        return "not_an_instant", 'is not an instant: send a string such as "2026-03-02T17:00:00Z"'
    return "bad_instant", 'does not have the form of an instant such as "2026-03-02T17:00:00Z"'


_BY_INPUT: dict[str, Callable[[Detail], tuple[str, str]]] = {
    "string_type": _text_expected,
    "string_pattern_mismatch": _form,
    "date_form": _date_form,
    "instant_form": _instant_form,
    "greater_than_equal": _low,
    "less_than_equal": _high,
}


_PYDANTICS_OWN = frozenset(get_args(ErrorType))


def rejection_of(error: ValidationError) -> Rejection:
    """The first of pydantic's errors as a code and a message, without the values of the record."""
    detail: Detail = dict(error.errors(include_url=False)[0])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "json_invalid":
        return _not_json(str(context.get("error", "")))
    where = ".".join(_shown(part) for part in detail["loc"]) or "the event"
    if detail["input"] is None and kind.endswith(("_type", "_form")):
        return Rejection(
            "null_field", f"{where}: is null: send a value, or leave out a field that is optional"
        )
    if kind in _BY_INPUT:
        code, words = _BY_INPUT[kind](detail)
    elif kind in _PLAIN:
        code, words = _PLAIN[kind][0], _PLAIN[kind][1].format(**context)
    elif kind in _PYDANTICS_OWN:
        code, words = "bad_value", "can't be read: see the schema of the event"
    else:
        code, words = (
            kind,
            detail["msg"],
        )  # raised by a type of ours (`wire.wrong`): the kind is the code
    return Rejection(code, f"{where}: {words}")


def _not_json(words: str) -> Rejection:
    where = re.search(r"at line \d+ column \d+$", words)
    at = f" {where[0]}" if where else ""
    if "recursion" in words:
        return Rejection(
            "too_deep", f"the JSON is nested too deeply{at}: send the event as its schema says"
        )
    if "hex escape" in words or "surrogate" in words:
        return Rejection(
            "lone_surrogate",
            f"the JSON holds half a character (a lone surrogate){at}: send whole characters",
        )
    return Rejection(
        "bad_json", f"the value is not JSON that every reader takes{at}: send one JSON object"
    )


def _shown(part: int | str) -> str:
    """A step of the way to the mistake; a name that the sender made up is shown only if it looks like the name of a field."""
    return (
        str(part)
        if isinstance(part, int) or re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", part)
        else "(a field)"
    )
