"""Columns of invoice options and of the grouping of documents."""

from collections.abc import Mapping
from typing import Any

from services.console.columns import Column

OPTIONS = [
    Column("name", "option"),
    Column("billing_company"),
    Column("client_country", "country"),
    Column("location"),
    Column("currency", "currency"),
    Column("bill_to", "bill to"),
    Column("requests", "request types"),
    Column("types", "billing types"),
    Column("max_lines", "max lines", figures=True),
    Column("grouped", "grouped by", most=80),
    Column("is_default", "default"),
    Column("active"),
    Column("from_date", "from"),
    Column("to_date", "to"),
]


GROUPING = [
    Column("billing_company"),
    Column("client_country", "country"),
    Column("grouped", "grouped by", most=120),
]


def option_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A version of an option as tables show it: lists as texts, and whose grouping it has."""
    inherited = " (country)" if row["group_by"] is None else ""
    return {
        **row,
        "requests": _listed(row["request_types"], "all"),
        "types": _listed(row["billing_types"], "all"),
        "grouped": _listed(row["fields"], "-") + inherited,
    }


def grouping_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """The grouping list of a country as tables show it."""
    return {**row, "grouped": _listed(row["group_by"], "-")}


def _listed(values: Any, empty: str) -> str:
    return ", ".join(values) or empty
