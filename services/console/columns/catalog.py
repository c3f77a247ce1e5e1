"""Columns of the catalog, and the levels of its tree."""

from collections.abc import Mapping
from typing import Any

from services.console.columns import Column

CATALOG = [
    Column("item_id", "item"),
    Column("name"),
    Column("item_class", "class"),
    Column("family"),
    Column("variant"),
    Column("product_kind", "kind"),
    Column("amount", figures=True),
    Column("currency"),
    Column("percent_of_salary", "%", figures=True),
    Column("percent_of", "of"),
    Column("tax_code", "tax"),
    Column("version", ids=True),
]


LEVELS = ("item_class", "family", "variant")


def price_of(item: Mapping[str, Any]) -> str:
    """The price of an item in words: 250.00 USD, 20 % of salary."""
    if item["amount"] is not None:
        return f"{item['amount']} {item['currency']}"
    if item["percent_of_salary"] is None:
        return "priced by each charge or assignment"
    return f"{item['percent_of_salary']} % of {item['percent_of']}"
