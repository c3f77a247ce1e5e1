"""Columns of rate versions."""

from collections.abc import Mapping
from typing import Any

from services.console.columns import Column

RATES = [
    Column("requirement_id", "requirement"),
    Column("time_type"),
    Column("effective_from", "from"),
    Column("unit_price", "price", price=True),
    Column("unit"),
    Column("source"),
    Column("actor"),
    Column("books", "rate books"),
    Column("confirmed"),
]


def rate_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A rate version as tables show it: its rate books, and who confirmed it when."""
    since, until = row["since_book"], row["until_book"]
    confirmed = (f"{one['actor']} {one['confirmed_at']:%Y-%m-%d}" for one in row["confirmed"])
    return {
        **row,
        "books": f"{since} on" if until is None else f"{since} to {until - 1}",
        "confirmed": ", ".join(confirmed),
    }


SUMS = [
    Column("documents", figures=True),
    Column("lines", figures=True),
    Column("hours", figures=True),
    Column("old", figures=True),
    Column("new", figures=True),
    Column("net", figures=True),
    Column("currency", ""),
]

EFFECT: dict[str, tuple[str, list[Column]]] = {
    "open": ("open lines, priced again at once", SUMS),
    "changes": (
        "changes",
        [
            Column("requirement_id", "requirement"),
            Column("time_type"),
            Column("effective_from", "from"),
            Column("old_price", "old price", figures=True),
            Column("new_price", "new price", figures=True),
            Column("unit"),
            *SUMS,
        ],
    ),
    "debtors": (
        "debtors, as invoiced",
        [Column("billing_company"), Column("account_name", most=40), *SUMS],
    ),
    "invoices": (
        "invoices",
        [Column("invoice_number", "number"), Column("account_name", most=40), *SUMS],
    ),
    "totals": ("lines on documents", SUMS),
}
