"""Columns of disputes."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.console.columns import Column

STATES = ("open", "upheld", "credited", "paid")
OF_INVOICE = [
    Column("dispute"),
    Column("line_no", "line", ids=True),
    Column("amount", figures=True),
    Column("disputed", "still disputed", figures=True),
    Column("currency", ""),
    Column("state"),
    Column("opened_on", "since"),
    Column("actor", "by"),
    Column("reason", most=60),
]
DISPUTES = [
    OF_INVOICE[0],
    Column("account_name", "debtor", most=40),
    Column("invoice_number", "document"),
    *OF_INVOICE[1:],
    Column("billing_company"),
]
ENTRIES = [
    Column("entered_on", "on"),
    Column("kind", "what"),
    Column("amount", figures=True),
    Column("currency", ""),
    Column("credit_note", "credit note"),
    Column("actor", "by"),
    Column("reason", most=60),
]


def disputed_column(rows: Iterable[Mapping[str, Any]]) -> list[Column]:
    """The column of what is disputed beside the ages; none where nothing is."""
    return [Column("disputed", figures=True)] if any(row["disputed"] for row in rows) else []
