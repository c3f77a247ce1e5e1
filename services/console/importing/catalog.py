"""Reads catalog items from a CSV file, and knows the columns of that file."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from services.console.importing.cells import (
    code,
    currency,
    day,
    identifier,
    name,
    optional,
    optional_amount,
)
from services.console.importing.command_lines import (
    Columns,
    CommandLines,
    FileColumn,
    read_command_lines,
)
from services.console.importing.csv_rows import Problems
from shared.events.commands import AnyCommand

_AT_DAY = re.compile(r"([0-9]+(?:[.,][0-9]+)?)@([0-9]{1,4})")


def _parts(cell: str, what: str, example: str) -> list[tuple[str, int]]:
    """Numbers with days, such as `50@1 50@90`."""
    found = []
    for part in cell.split():
        match = _AT_DAY.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not {what}@DAY; write e.g. {example}")
        found.append((match[1].replace(",", "."), int(match[2])))
    return found


def pay_plan(cell: str) -> list[dict[str, Any]] | None:
    """A pay plan such as `50@1 50@90`: shares, each with its day. None: the cell is empty."""
    parts = _parts(cell, "SHARE", "50@1 50@90")
    return [{"share": share, "day": day} for share, day in parts] or None


def _guarantee(cell: str) -> list[dict[str, Any]] | None:
    parts = _parts(cell, "PERCENT", "100@30 75@60 50@90")
    return [{"percent": percent, "until_day": day} for percent, day in parts] or None


CATALOG: Columns = {
    "item_id": FileColumn(identifier, "the item's id, which fees and assignments name"),
    "name": FileColumn(name, "name as it is printed"),
    "class": FileColumn(name, "highest level of the catalog, e.g. Services", "item_class"),
    "family": FileColumn(name, "level below the class"),
    "variant": FileColumn(name, "level below the family"),
    "kind": FileColumn(optional(str), "placement (default) or non-placement", "product_kind"),
    "amount": FileColumn(
        optional_amount, "fixed price with a currency, e.g. 1500.00; non-placement: or none"
    ),
    "currency": FileColumn(optional(currency), "currency of the amount, e.g. USD"),
    "percent": FileColumn(
        optional_amount, "percent of the base, in place of an amount", "percent_of_salary"
    ),
    "percent_of": FileColumn(
        optional(str), "salary (default), ote or base (each fee states its own)"
    ),
    "plan": FileColumn(pay_plan, "shares and days, e.g. 50@1 50@90 or 1@1 1@31 1@61"),
    "guarantee": FileColumn(
        _guarantee, "percent due back if the worker leaves by a day, e.g. 100@30 75@60 50@90"
    ),
    "tax_code": FileColumn(optional(code), "tax code; empty: the billing company's default"),
    "valid_from": FileColumn(optional(day), "first start or due date of what may name it"),
    "valid_until": FileColumn(optional(day), "last start or due date of what may name it"),
}


def read_catalog(
    path: Path, new_command: Callable[..., AnyCommand]
) -> tuple[CommandLines, Problems]:
    """The command of each line, made by `new_command(name, **fields)`, and all that is wrong."""
    return read_command_lines(path, CATALOG, "item_id", partial(new_command, "set-catalog-item"))
