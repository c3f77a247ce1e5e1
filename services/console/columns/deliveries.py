"""Columns of deliveries to accounting systems."""

from services.console.columns import Column

DELIVERIES = [
    Column("ledger"),
    Column("invoice_number", "number"),
    Column("document_type", "type"),
    Column("account_name", most=40),
    Column("total", figures=True),
    Column("currency", ""),
    Column("state"),
    Column("remote_number", "there"),
    Column("attempts", figures=True),
    Column("code"),
    Column("message", most=400),
]
