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
    Fee,
    Hours,
    Identifier,
    Name,
    Quantity,
    UnitPrice,
)
from shared.terms import LEVELS

CACHED_CELLS = 100_000
Read = Callable[[str], Any]

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SPACES = re.compile(r"\s+")
_EXCEL_POWER = re.compile(r"-?\d([.,]\d+)?E\+\d+")
_EXCEL_ERROR = re.compile(r"#(REF!|N/A|NAME\?|VALUE!|DIV/0!|NUM!|NULL!|####+)|###+")
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}\.\d{3}")
_GROUPED = re.compile(r"\d{1,3}((\.\d{3})+,|(,\d{3})+\.)\d+")


def _reader(kind: Any, should: str, normal: Callable[[str], str] = str) -> Read:
    """A reader of values of a kind. `normal` turns a cell into the form of the messages."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    @lru_cache(maxsize=CACHED_CELLS)
    def read(cell: str) -> Any:
        text = normal(cell)
        try:
            return adapter.validate_python(text)
        except ValidationError:
            raise _wrong(cell, should) from None

    return read


def _wrong(cell: str, should: str) -> ValueError:
    return ValueError(f"{cell!r} is not {should}" if cell else f"is empty; it should be {should}")


def formula(cell: str) -> ValueError:
    """The error of a cell that Excel was told to show as text by writing a formula."""
    return ValueError(f"{cell!r} is a formula for Excel; write {cell[2:].rstrip(chr(34))!r}")


def _unchanged_by_excel(cell: str) -> str:
    """An id or code. Refuses what Excel leaves in place of one, instead of taking it for another
    id.
    """
    if cell.startswith("'"):
        raise ValueError(f"{cell!r} has Excel's mark for text; write {cell[1:]!r}")
    if _EXCEL_POWER.fullmatch(cell):
        raise ValueError(
            f"{cell!r} is a number that Excel has shortened; format the column as text and export"
            " it again"
        )
    if _EXCEL_ERROR.fullmatch(cell):
        raise ValueError(f"{cell!r} is an error of Excel; correct the formula and export it again")
    return cell


def _with_point(cell: str) -> str:
    """A number with a decimal point: 7,5 is 7.5 and .5 is 0.5."""
    return re.sub(r"^(?=[.,]\d)", "0", cell).replace(",", ".", 1)


def _unambiguous(cell: str) -> str:
    """A price or quantity with a decimal point. Refuses a comma before three digits: 1,250 is 1.25
    to some and 1250 to others.
    """
    if _GROUPED.fullmatch(cell):
        first, second = sorted(",.", key=cell.index)
        return cell.replace(first, "").replace(second, ".")
    if _THOUSANDS.fullmatch(cell.replace(",", ".")) and "," in cell:
        raise _two_values(cell)
    return _with_point(cell)


def check_thousands(number: str) -> None:
    """Refuses a point before three digits, in a file that is not separated by commas: its writer
    may use decimal commas.
    """
    if _THOUSANDS.fullmatch(number):
        raise _two_values(number)


def _two_values(cell: str) -> ValueError:
    whole, thousand = cell.replace(",", "."), re.sub("[.,]", "", cell)
    return ValueError(
        f"{cell!r} may be {whole} or {thousand}; write {whole}0 or {thousand} (the decimal comma"
        " and the separator of thousands look alike)"
    )


identifier = _reader(Identifier, "an id of 1 to 200 visible characters", _unchanged_by_excel)
code = _reader(
    Code,
    "a code such as REG or Temp (letters, digits and _ . + -, at most 40)",
    _unchanged_by_excel,
)
currency = _reader(Currency, "a currency code such as USD or EUR")
hours = _reader(
    Hours, "a number of hours from 0 to 24 with at most 4 decimals, such as 7.5", _with_point
)
bill_rate = _reader(
    UnitPrice, "a price such as 79.50 (0 or more, at most 4 decimals)", _unambiguous
)
amount = _reader(Fee, "an amount or percent such as 1500.00 (at most 4 decimals)", _unambiguous)
quantity = _reader(Quantity, "a quantity such as 2 or 1.5", _unambiguous)
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


def yes(cell: str) -> bool | None:
    """Yes or no; None where the cell is empty."""
    if cell.lower() not in ("yes", "no", ""):
        raise ValueError(f"{cell!r} is not yes or no")
    return cell.lower() == "yes" if cell else None


def optional(read: Read) -> Read:
    """The same, or None where the cell is empty."""
    return lambda cell: read(cell) if cell else None


optional_amount = optional(amount)
optional_quantity = optional(quantity)
MAY_HAVE_THOUSANDS = frozenset({bill_rate, amount, optional_amount, quantity, optional_quantity})
"""Readers of cells in which a point before three digits may separate thousands."""
