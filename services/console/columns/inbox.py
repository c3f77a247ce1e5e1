"""Columns of what waits for a person."""

from services.console.columns import Column

HELD = [
    Column("document_kind", "kind"),
    Column("document_id", "document", most=40),
    Column("billing_company"),
    Column("held_since", "since"),
    Column("message", most=600),
]
DEAD_LETTERS = [
    Column("service"),
    Column("dead_letter_id", "id", ids=True),
    Column("topic"),
    Column("received_at", "received"),
    Column("code"),
    Column("message", most=600),
]
STOPPED = [
    Column("service"),
    Column("topic"),
    Column("partition", "part", ids=True),
    Column("offset", ids=True),
    Column("stopped_at", "stopped"),
    Column("message", most=600),
]
DELIVERIES = [
    Column("ledger"),
    Column("invoice_number", "number"),
    Column("account_name", "debtor", most=40),
    Column("total", figures=True),
    Column("currency", ""),
    Column("state"),
    Column("message", most=400),
    Column("fix", "to fix it", most=400),
]
MAILS = [
    Column("invoice_number", "number"),
    Column("account_name", "debtor", most=40),
    Column("address", most=60),
    Column("state"),
    Column("message", most=400),
    Column("fix", "to fix it", most=400),
]
DRIFTS = [
    Column("ledger"),
    Column("invoice_number", "number"),
    Column("remote_id", "there"),
    Column("found_at", "found"),
    Column("message", most=400),
    Column("fix", "to fix it", most=400),
]
PARKED = [
    Column("account_name", "debtor", most=40),
    Column("billing_company"),
    Column("cut_off_date", "cut-off"),
    Column("message", most=400),
]
PRICE_IMPACT = [
    Column("requirement_id", "requirement"),
    Column("time_type"),
    Column("effective_from", "from"),
    Column("documents", figures=True),
    Column("lines", figures=True),
    Column("old", figures=True),
    Column("new", figures=True),
    Column("net", figures=True),
    Column("currency", ""),
]
