"""Whether a JSON text surely has no key twice: by counting, which costs less than reading it again key by key.

Readers keep the last of two equal keys and say nothing. A text that, without its spaces, has as many `":` as what was read of it has
keys cannot have held a key that went missing. The other way round nothing is said: a text that fails here is read slowly, by `records`.
"""

from functools import cache
from math import isfinite
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

SPACES = b" \t\r\n"
SCALARS = frozenset({"str", "int", "bool", "Decimal", "date", "datetime"})
UNSURE = -(10**9)
"""More than a message has keys: who adds it to a count never comes to the right one."""


def has_unique_keys(value: bytes, event: Any) -> bool:
    """Whether `value`, from which `event` was read, has each key once in its object, and no number that JSON does not have."""
    whole = getattr(event, "model_config", {}).get("extra") == "forbid"
    return value.translate(None, SPACES).count(b'":') == (
        _keys(event) if whole else _keys_of_all(value)
    )


def _keys_of_all(value: bytes) -> int:
    """The keys of the whole text: the model of who speaks passes over those that it does not know."""
    try:
        return _keys(from_json(value, allow_inf_nan=False, cache_strings="keys"))
    except ValueError:
        return UNSURE


def _keys(value: Any) -> int:
    kind = type(value)
    if kind is dict:
        found = len(value)
        for one in value.values():
            if type(one) is not str:
                found += _keys(one)
        return found
    if kind is list or kind is tuple:
        return sum(map(_keys, value))
    names = _objects_in(kind)  # type: ignore[arg-type]
    if names is None:
        return UNSURE if kind is float and not isfinite(value) else 0
    found = len(value.__pydantic_fields_set__)
    for name in names:
        found += _keys(getattr(value, name))
    return found


@cache
def _objects_in(kind: type) -> tuple[str, ...] | None:
    """The fields of a model that may hold further objects; None for what is no model."""
    if not issubclass(kind, BaseModel):
        return None
    return tuple(
        name
        for name, field in kind.model_fields.items()
        if getattr(field.annotation, "__name__", "") not in SCALARS
    )
