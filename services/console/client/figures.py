"""Figures as people know them: an amount with the currency's own decimals, a quantity or price without useless zeros."""

from decimal import Decimal

from services.console.client.books import Row
from shared.money import minor_unit, plain

PLAIN = ("quantity", "quantity_left", "unit_price", "percent", "percent_of_salary", "tax_rate")


def at_minor_unit(amount: Decimal, currency: str) -> Decimal:
    """The amount with the currency's decimals; one that has more keeps them, because a fault must show and not be rounded away."""
    short = amount.quantize(minor_unit(currency))
    return short if short == amount else amount


def with_money(row: Row, *names: str) -> Row:
    """The row with these columns as amounts of its currency and its quantities and prices plain."""
    amounts = {
        name: at_minor_unit(row[name], row["currency"])
        for name in names
        if row.get(name) is not None
    }
    return (
        row
        | {name: Decimal(plain(row[name])) for name in PLAIN if isinstance(row.get(name), Decimal)}
        | amounts
    )
