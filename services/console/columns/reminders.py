"""Columns of the settings of reminders."""

from typing import Any

from services.console.columns import Column

SETTINGS = [
    Column("account_name", "debtor", most=40),
    Column("enabled", "on"),
    Column("stages", "days overdue"),
    Column("minimum", figures=True),
    Column("actor", "by"),
]


def settings_cells(row: dict[str, Any]) -> dict[str, Any]:
    """Settings as a table shows them; what a debtor has of the company is empty."""
    stages = row["stages"]
    texts = {
        "account_name": row["account_name"] or row["billing_company"],
        "enabled": None if row["enabled"] is None else "yes" if row["enabled"] else "no",
        "stages": None if stages is None else ", ".join(str(each["days"]) for each in stages),
    }
    return row | texts
