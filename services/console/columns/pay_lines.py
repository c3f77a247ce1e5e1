"""Columns of pay lines."""

from services.console.columns import Column

LINES = [
    Column("pay_line_id", "line", ids=True),
    Column("status"),
    Column("billing_company"),
    Column("account_name", "debtor", most=40),
    Column("document_id", "document", most=40),
    Column("description", most=70),
    Column("service"),
    Column("effective_date", "effective"),
    Column("quantity", figures=True),
    Column("unit_price", "price", price=True),
    Column("amount", figures=True),
    Column("currency", ""),
    Column("po_number", "PO"),
    Column("hold_reason", "on hold because", most=40),
    Column("corrects"),
    Column("invoice_number", "invoice"),
]
ALSO_IN_FILES = [
    Column("worker_id"),
    Column("requirement_id"),
    Column("week_ending"),
    Column("time_type"),
    Column("unit"),
    Column("held_by"),
    Column("held_until"),
]
"""What a CSV file has besides."""
FIRST = (
    "pay_line_id",
    "status",
    "account_name",
    "document_id",
    "amount",
    "currency",
    "quantity",
    "unit_price",
    "service",
)
ON_A_PAGE = sorted(LINES, key=lambda column: (*FIRST, column.field).index(column.field))
"""The same columns with those first that are needed to choose a line: a page is scrolled."""
