"""Columns of closed documents."""

from typing import Any

from services.console.columns import Column

TYPES = ("invoice", "credit-note")
STATES = (
    "open",
    "part paid",
    "paid",
    "overpaid",
    "partly credited",
    "credited",
    "zero",
    "applied",
    "unapplied",
)
FOUND = [
    Column("invoice_number", "number"),
    Column("document_type", "type"),
    Column("billing_company"),
    Column("account_name", most=40),
    Column("invoice_date", "date"),
    Column("due_date", "due"),
    Column("po_number", "PO"),
    Column("line_count", "lines", figures=True),
    Column("hours", figures=True),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("total", figures=True),
    Column("balance", figures=True),
    Column("currency", ""),
    Column("state"),
    Column("batch_id", "batch"),
]
LINES = [
    Column("line_no", "", ids=True),
    Column("description", most=56),
    Column("document_id", "document", most=36),
    Column("pay_line_id", "pay line", ids=True),
    Column("quantity", figures=True),
    Column("unit", ""),
    Column("unit_price", "price", price=True),
    Column("amount", figures=True),
    Column("tax_code", "tax"),
    Column("tax_rate", "%", figures=True),
    Column("tax_amount", "tax amount", figures=True),
    Column("allowance_amount", "allowance", figures=True),
    Column("corrects", "corrects"),
    Column("quantity_left", "left", figures=True),
    Column("amount_left", "left net", figures=True),
]
ALLOWANCES = [
    Column("name", most=56),
    Column("code", "tax"),
    Column("rate", "%", figures=True),
    Column("base", "of", figures=True),
    Column("percent", figures=True),
    Column("amount", figures=True),
]
FEES = [
    Column("option_name", "option", most=40),
    Column("charged_as", "as"),
    Column("percent", "%", figures=True),
    Column("base", "of", figures=True),
    Column("amount", figures=True),
    Column("volume", "volume before", figures=True),
    Column("fee_from", "from"),
    Column("corrects_invoice", "returned of"),
]
TAXES = [
    Column("code", "tax"),
    Column("rate", "%", figures=True),
    Column("net", figures=True),
    Column("tax", "amount", figures=True),
]
CREDITS = [
    Column("corrects_line", "line", ids=True),
    Column("invoice_number", "credited on"),
    Column("invoice_date", "date"),
    Column("line_no", "its line", ids=True),
    Column("quantity", figures=True),
    Column("amount", figures=True),
    Column("allowance_amount", "allowance", figures=True),
    Column("tax_amount", "tax", figures=True),
    Column("credited_to", "to"),
    Column("actor"),
    Column("reason", most=40),
]
PAYMENTS = [
    Column("paid_on", "paid on"),
    Column("amount", figures=True),
    Column("currency", ""),
    Column("check_id", "check"),
    Column("ledger"),
    Column("payment_id", "payment", most=36),
]
SERIES = [
    Column("series"),
    Column("first_invoice_number", "first"),
    Column("last_invoice_number", "last"),
    Column("used", figures=True),
    Column("passed_over", figures=True),
    Column("unexplained", figures=True),
    Column("last_date"),
]
JUMPS = [
    Column("series"),
    Column("from_invoice_number", "from"),
    Column("to_invoice_number", "to"),
    Column("actor"),
    Column("reason"),
    Column("jumped_at", "at"),
]
HISTORY = [
    Column("at"),
    Column("actor"),
    Column("what", most=40),
    Column("outcome"),
    Column("reason", most=40),
    Column("message", most=400),
]


def line_row(row: dict[str, Any]) -> dict[str, Any]:
    """A line as a table shows it: what is left only where a part is credited."""
    after_allowance = row["amount"] + row["allowance_amount"]
    untouched = (row["quantity_left"], row["amount_left"]) == (row["quantity"], after_allowance)
    left = {"quantity_left": None, "amount_left": None} if untouched else {}
    corrected = f"{row['corrects_invoice']} line {row['corrects_line']}"
    return allowance_row(row) | left | {"corrects": corrected if row["corrects_invoice"] else ""}


def allowance_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row without an allowance of 0.00: most documents have none."""
    return row | {"allowance_amount": row["allowance_amount"] or None}
