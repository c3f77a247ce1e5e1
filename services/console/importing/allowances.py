"""Reads discounts and surcharges of a debtor as people write them: Volume=2.5, Fuel=3%, Fee=15.

In a cell of a file several stand with a semicolon between, each after the word discount or
surcharge.
"""

import re
from typing import Any

ALL, TIMESHEETS, PRODUCTS = "all", "timesheets", "products"
DISCOUNT, SURCHARGE = "discount", "surcharge"
_FIGURE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>%|[A-Z]{3})?", re.ASCII)


def read_allowance(kind: str, text: str) -> dict[str, Any]:
    """A discount or surcharge as a command has it. Raises ValueError with what it should be.

    A discount is a percentage, a surcharge a percentage with a percent sign, or an amount; with a
    currency both are an amount.
    """
    name, equals, value = text.partition("=")
    figure, colon, applies_to = value.partition(":")
    found = _FIGURE.fullmatch(figure.strip())
    kinds = (ALL, TIMESHEETS, PRODUCTS)
    scope = applies_to.strip() if colon else ALL
    if not (name.strip() and equals and found and scope in kinds):
        shape = "NAME=PERCENT" if kind == DISCOUNT else "NAME=PERCENT% or NAME=AMOUNT"
        raise ValueError(
            f"{text!r} is not {shape}; :timesheets or :products may follow, as in"
            f" {'Volume=2.5:timesheets' if kind == DISCOUNT else 'Fuel=3%:timesheets'}"
        )
    number, unit = found["number"], found["unit"]
    is_percent = unit == "%" or (unit is None and kind == DISCOUNT)
    return {
        "kind": kind,
        "name": name.strip(),
        "percent": number if is_percent else None,
        "amount": None if is_percent else number,
        "currency": None if is_percent else unit,
        "applies_to": scope,
    }


def read_allowances(cell: str) -> list[dict[str, Any]] | None:
    """The discounts and surcharges of a cell; None if it is empty."""
    found = []
    for each in cell.split(";") if cell else ():
        kind, _, text = each.strip().partition(" ")
        if kind not in (DISCOUNT, SURCHARGE):
            raise ValueError(f"{each.strip()!r} does not begin with {DISCOUNT} or {SURCHARGE}")
        found.append(read_allowance(kind, text))
    return found or None


def read_names(cell: str) -> list[str] | None:
    """The names of a cell, with a semicolon between; None if it is empty."""
    return [each.strip() for each in cell.split(";") if each.strip()] or None
