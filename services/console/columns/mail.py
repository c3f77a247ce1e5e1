"""Columns of documents sent by e-mail."""

from services.console.columns import Column

MAILS = [
    Column("invoice_number", "number"),
    Column("document_type", "type"),
    Column("account_name", most=40),
    Column("address", most=60),
    Column("state"),
    Column("attempts", figures=True),
    Column("code"),
    Column("message", most=400),
    Column("fix", "to fix it", most=400),
]
