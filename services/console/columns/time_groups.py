"""Columns of billing cycles."""

from collections.abc import Mapping
from typing import Any

from services.console.columns import Column

GROUPS = [
    Column("time_group", "name"),
    Column("cycle"),
    Column("ends_on", "ends on"),
    Column("anchor", "a cycle ends on"),
    Column("periods", figures=True),
    Column("until", "periods until"),
    Column("debtors", figures=True),
]


def group_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A billing cycle as tables show it: how many custom periods it has, and until when."""
    periods = row["periods"]
    return {
        **row,
        "periods": len(periods) or None,
        "until": periods[-1]["last_day"] if periods else None,
    }
