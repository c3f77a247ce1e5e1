"""Columns of charges."""

from services.console.columns import Column

CHARGES = [
    Column("charge_id", "charge"),
    Column("billing_company"),
    Column("node_id", "node"),
    Column("item_id", "item"),
    Column("quantity", figures=True),
    Column("price", figures=True),
    Column("currency"),
    Column("service_date"),
    Column("text", most=40),
    Column("hold_code", "held"),
]
