"""Columns of what a search finds."""

from services.console.columns import Column

HITS = [
    Column("kind", ""),
    Column("id", "found", most=80),
    Column("billing_company"),
    Column("about", most=60),
]
