"""Amounts with the decimals of their currency, quantities and prices without trailing zeros."""

from decimal import Decimal

from services.console.queries.snapshot import Row
from shared.money import minor_unit, plain

PLAIN = (
    "hours",
    "billed",
    "unbilled",
    "quantity",
    "quantity_left",
    "unit_price",
    "percent",
    "percent_of_salary",
    "tax_rate",
)


def at_minor_unit(amount: Decimal, currency: str) -> Decimal:
    """The amount with the currency's decimals.

    An amount that has more keeps them, so that the fault is seen.
    """
    short = amount.quantize(minor_unit(currency))
    return short if short == amount else amount


def with_money(row: Row, *names: str) -> Row:
    """The row with these columns at its currency's decimals, and its quantities and prices
    plain.
    """
    numbers = {
        name: Decimal(plain(row[name])) for name in PLAIN if isinstance(row.get(name), Decimal)
    }
    given = (name for name in names if row.get(name) is not None)
    return row | numbers | {name: at_minor_unit(row[name], row["currency"]) for name in given}
