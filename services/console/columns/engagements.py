"""Columns of engagements and suppliers."""

from services.console.columns import Column

ENGAGEMENTS = [
    Column("engagement_id", "engagement"),
    Column("request_type", "type"),
    Column("supplier_id", "supplier"),
    Column("client_country", "country"),
    Column("location"),
    Column("department"),
    Column("invoice_option", "newest option"),
    Column("visible", "visible to"),
    Column("needs_transfer", "transfer"),
    Column("placements", figures=True),
    Column("closed"),
]


TERMS = [
    Column("from_date", "from"),
    Column("invoice_option", "option"),
    Column("visible", "visible to"),
    Column("needs_transfer", "transfer"),
    Column("supplier_option", "supplier's option"),
    Column("pays", "pay rates"),
]


SUPPLIERS = [
    Column("supplier_id", "supplier"),
    Column("name", most=40),
    Column("account_name", "account name", most=40),
    Column("engagements", figures=True),
    Column("closed"),
]


def visible_to(pairs: list[str]) -> str:
    """The pairs of parties that see what is billed; all without any."""
    return ", ".join(pairs) or "all"
