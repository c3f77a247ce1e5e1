"""Columns of retainers."""

from services.console.columns import Column

RETAINERS = [
    Column("requirement_id", "requirement"),
    Column("billing_company"),
    Column("item_id", "item"),
    Column("amount", figures=True),
    Column("placements", figures=True),
    Column("set_off", "set off", figures=True),
    Column("kept", figures=True),
    Column("credited", figures=True),
    Column("undecided", "left", figures=True),
    Column("currency", ""),
    Column("refundable"),
    Column("ended_from", "cancelled from"),
    Column("hold_code", "held"),
]
