"""Columns of approval workflows and of their steps."""

from collections.abc import Mapping
from typing import Any

from services.console.columns import Column

WORKFLOWS = [
    Column("name", "workflow"),
    Column("version", ids=True),
    Column("steps_in_words", "steps", most=300),
    Column("actor", "set by"),
]
STEPS = [
    Column("step", whole=True),
    Column("order"),
    Column("approvers", most=120),
    Column("must", "mandatory"),
    Column("condition", "applies to", most=120),
]


def workflow_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A workflow as tables show it: who approves in each step."""
    cells = [step_cells(step) for step in row["steps"]]
    words = "; ".join(f"{each['step']}: {each['approvers']}" for each in cells)
    return {**row, "steps_in_words": words}


def step_cells(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step as people read it."""
    amounts = [f"{each['amount']} {each['currency']}" for each in step["at_least"]]
    conditions = [
        f"from {', '.join(amounts)}" if amounts else "",
        f"departments {', '.join(step['departments'])}" if step["departments"] else "",
        f"locations {', '.join(step['locations'])}" if step["locations"] else "",
    ]
    return {
        "step": step["step"],
        "order": step["order"],
        "approvers": ", ".join(step["approvers"]),
        "must": step.get("mandatory") or "all",
        "condition": "; ".join(each for each in conditions if each) or "always",
    }
