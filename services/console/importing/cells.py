"""Reads one cell: a value, or a ValueError with what the cell holds and what it should hold.

The limits are those of the message fields (`shared.events.field_types`); the messages are for
people with a spreadsheet.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.events.field_types import (
    FIRST_DATE,
    LAST_DATE,
    Code,
    Currency,
    Hours,
    Identifier,
    Name,
    UnitPrice,
)
from shared.terms import LEVELS

CACHED_CELLS = 100_000
Read = Callable[[str], Any]

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SPACES = re.compile(r"\s+")


def _reader(kind: Any, should: str) -> Read:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    @lru_cache(maxsize=CACHED_CELLS)
    def read(cell: str) -> Any:
        try:
            return adapter.validate_python(cell)
        except ValidationError:
            raise _wrong(cell, should) from None

    return read


def _wrong(cell: str, should: str) -> ValueError:
    return ValueError(f"{cell!r} is not {should}" if cell else f"is empty; it should be {should}")


identifier = _reader(Identifier, "an id of 1 to 200 visible characters")
code = _reader(Code, "a code such as REG or Temp (letters, digits and _ . + -, at most 40)")
currency = _reader(Currency, "a currency code such as USD or EUR")
hours = _reader(Hours, "a number of hours from 0 to 24 with at most 4 decimals, such as 7.5")
bill_rate = _reader(UnitPrice, "a price such as 79.50 (0 or more, at most 4 decimals)")
_name = _reader(Name, "a text of at most 400 visible characters")


def name(cell: str) -> str:
    """A name. Spaces of every kind count as one plain space: nobreak spaces in spreadsheets are
    accidents.
    """
    text: str = _name(_SPACES.sub(" ", cell))
    return text


@lru_cache(maxsize=CACHED_CELLS)
def day(cell: str) -> date:
    """An ISO date."""
    with suppress(ValueError):
        if _DAY.fullmatch(cell) and FIRST_DATE <= date.fromisoformat(cell) <= LAST_DATE:
            return date.fromisoformat(cell)
    raise _wrong(cell, "a date such as 2026-10-31")


def level(cell: str) -> str:
    """A level of the billto hierarchy."""
    if cell not in LEVELS:
        raise ValueError(f"{cell!r} is not one of {', '.join(LEVELS)}")
    return cell


def optional(read: Read) -> Read:
    """The same, or None where the cell is empty."""
    return lambda cell: read(cell) if cell else None
