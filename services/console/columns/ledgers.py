"""Columns of connections to accounting systems, their settings and mappings."""

from collections.abc import Mapping
from typing import Any

from services.console.columns import Column

STATUS = [
    Column("ledger"),
    Column("kind"),
    Column("billing_company"),
    Column("state"),
    Column("auto_sync", "auto"),
    Column("posted", figures=True),
    Column("open", figures=True),
    Column("refused", figures=True),
    Column("message", most=400),
]


SETTINGS = [Column("name"), Column("needed"), Column("default"), Column("words", "", most=300)]


def status_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A connection as tables show it: its state, why it delivers nothing, and its deliveries."""
    from services.console.queries.deliveries import OPEN  # slow to import

    counts = row["deliveries"]
    resting = row["resting"] and row["state"] == "connected"
    numbers = {one: counts.get(one, 0) for one in ("posted", "refused")}
    numbers["open"] = sum(counts.get(one, 0) for one in OPEN)
    state = "resting" if resting else row["state"]
    return {**row, **numbers, "message": _reason(row), "state": state}


def setting_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A setting of a kind of ledger as tables show it: whether it is needed, and sealed."""
    words = {True: "yes, sealed", False: "yes"}
    return {**row, "needed": words[row["secret"]] if row["secret"] or row["required"] else ""}


def _reason(row: Mapping[str, Any]) -> str:
    """Why a connection delivers nothing now."""
    if row["state"] not in ("connected", "disconnected"):
        return str(row["message"])
    if row["resting"]:
        failures = f"{row['failures']} failures: {row['circuit_message']}"
        return f"rests until {row['open_until']:%H:%M:%S} after {failures}"
    return ""


ROWS = [Column("what"), Column("code"), Column("remote"), Column("problem", most=300)]


PROBLEMS = [Column("what"), Column("code"), Column("remote"), Column("message", most=300)]
