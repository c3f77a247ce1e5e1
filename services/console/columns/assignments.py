"""Columns of assignments and of their occurrences."""

from collections.abc import Mapping
from typing import Any

from services.console.columns import Column

ASSIGNMENTS = [
    Column("assignment_id", "assignment"),
    Column("billing_company"),
    Column("node_id", "node"),
    Column("item_id", "item"),
    Column("price", price=True),
    Column("currency"),
    Column("due", most=60),
    Column("from_date", "from"),
    Column("last_date", "until"),
    Column("occurrences", figures=True),
    Column("held", figures=True),
    Column("unconfirmed", figures=True),
]


OCCURRENCES = [
    Column("document_id", "occurrence"),
    Column("invoice_number", "invoice"),
    Column("account_name", most=40),
    Column("old", figures=True),
    Column("new", figures=True),
    Column("currency", ""),
]


def due(schedule: Mapping[str, Any]) -> str:
    """When an assignment is due, in words."""
    if "dates" in schedule:
        return ", ".join(schedule["dates"])
    return f"{'monthly' if schedule['months'] == 1 else 'quarterly'} on day {schedule['day']}"
