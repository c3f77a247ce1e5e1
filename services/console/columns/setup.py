"""Columns of the screen Set-up that no command of the command line has."""

from collections.abc import Mapping
from typing import Any

from services.console.columns import Column

COMPANIES = [
    Column("billing_company"),
    Column("name", most=40),
    Column("time_zone"),
    Column("currency"),
    Column("series_prefix", "numbers"),
    Column("payment_terms", "terms"),
    Column("default_time_group", "cycle"),
    Column("tax", most=80),
    Column("gate"),
    Column("in_use", "in use"),
]
REQUIREMENTS = [
    Column("requirement_id", "requirement"),
    Column("billing_company"),
    Column("job_title", most=40),
    Column("office_id", "office"),
    Column("currency"),
    Column("closed"),
]
NODES = [
    Column("node_id", "node"),
    Column("level"),
    Column("name", most=60),
    Column("account_name", "own Account Name", most=60),
    Column("debtor", "billed to", most=60),
    Column("below", "nodes below", figures=True),
]
NEXT_CYCLES = Column("next_cycles", "next cycles", most=120)
LEVELS = {1: "company", 2: "client", 3: "office"}
WRONG_LINES = [
    Column("line", ids=True),
    Column("column"),
    Column("message", most=300),
    Column("fix", most=300),
]


def node_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A node of the billto hierarchy as tables show it, with its level in a word."""
    return {**row, "level": LEVELS.get(row["level"], row["level"])}


def company_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A billing company as tables show it, with its newest tax rates in words."""
    newest = {tax["tax_code"]: tax["percent"] for tax in row["taxes"]}
    return {
        **row,
        "tax": ", ".join(f"{code} {percent} %" for code, percent in newest.items()),
        "gate": row["approval_level"],
        "in_use": "yes" if row["enabled"] else "no",
    }
