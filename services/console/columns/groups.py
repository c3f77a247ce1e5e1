"""Columns of batch groups and of the debtors in them."""

from decimal import Decimal
from typing import Any

from services.console.columns import Column

SUMS = [
    Column("timesheets", "in", figures=True),
    Column("late", figures=True),
    Column("corrections", figures=True),
    Column("products", figures=True),
    Column("held", figures=True),
    Column("first_missing_step", "first missing step", most=80),
    Column("arrived", "expected"),
    Column("hours", figures=True),
    Column("amount", figures=True),
    Column("kept", "kept back", figures=True),
]
GROUPS = [
    Column("group"),
    Column("cycle"),
    Column("first_day", "from"),
    Column("last_day", "to"),
    Column("debtors", figures=True),
    *SUMS,
]
DEBTORS = [
    Column("account_name", "debtor", most=40),
    Column("state", "a batch"),
    *SUMS,
    Column("why", most=400),
]
STATES = {
    "in": "takes it",
    "waits": "leaves its timesheets",
    "parked": "parks it",
    "nothing": "finds nothing",
}


def group_row(sums: dict[str, Any]) -> dict[str, Any]:
    """The row of a group or of a debtor."""
    steps = ", ".join(f"{number} {code}" for code, number in sums["held_by_code"].items())
    return (
        sums
        | {name: sums[name] or None for name in ("late", "corrections", "products", "held")}
        | {
            "first_missing_step": steps,
            "arrived": f"{sums['received']} of {sums['expected']} in" if sums["expected"] else "",
            "amount": _amounts(sums["amounts"], "net", "lines"),
            "kept": _amounts(sums["amounts"], "kept", "kept"),
        }
    )


def _amounts(amounts: list[dict[str, Any]], name: str, condition: str) -> str:
    """One amount of each currency in which the condition is not zero."""
    return ", ".join(
        f"{Decimal(each[name]):,f} {each['currency']}"
        for each in amounts
        if Decimal(each[condition])
    )
