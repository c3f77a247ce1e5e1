"""JSON that others wrote: how deep it may be, and which numbers are taken.

The readers of Kafka records have a strict reader of their own (`shared.consumer.records`); its
limit of depth is the one of pydantic, `JSON_DEPTH`.
"""

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

JSON_DEPTH = 200
"""Levels of lists and objects, one in the other."""
WHOLE_DIGITS, DECIMAL_DIGITS = 16, 40
"""Digits before and after the point of a decimal. The tables hold amounts of 16 digits before the
point; 1e999999 is short, and long to write out."""


def read_json_text(
    text: str,
    *,
    parse_float: Callable[[str], Any] | None = None,
    unique_keys: bool = False,
) -> Any:
    """Return the value. Raises ValueError, with what is wrong, for anything but plain JSON.

    `unique_keys`: an object that has a key twice is refused, because people wrote the file and
    cannot know which value counts.
    """
    try:
        value = json.loads(
            text,
            parse_float=parse_float,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique if unique_keys else None,
        )
    except RecursionError as error:
        raise _too_deep() from error
    if is_deeper(value, JSON_DEPTH):
        raise _too_deep()
    return value


def is_deeper(value: Any, levels: int) -> bool:
    """Return whether lists and objects are nested in more levels; needs no recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        if not level:
            return False
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
    return bool(level)


def finite_decimal(value: Any) -> Decimal:
    """Return a number or its text as a Decimal of at most 16 digits before the point, 40 after it.

    Raises ValueError for anything else: NaN, infinity, an exponent that makes it longer.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"a {type(value).__name__} is no number")
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValueError("the text is no number") from error
    if not number.is_finite():
        raise ValueError("it is no finite number")
    exponent = number.as_tuple().exponent
    if number.adjusted() >= WHOLE_DIGITS or int(exponent) < -DECIMAL_DIGITS:
        raise ValueError(
            f"it has more than {WHOLE_DIGITS} digits before, or {DECIMAL_DIGITS} after the point"
        )
    return number


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _too_deep() -> ValueError:
    return ValueError(f"it is nested in more than {JSON_DEPTH} levels")
