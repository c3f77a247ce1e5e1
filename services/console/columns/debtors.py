"""Columns of the terms of debtors."""

from typing import Any

from services.console.columns import Column

VERSIONS = [
    Column("account_name", most=40),
    Column("from_date", "from"),
    Column("to_date", "to"),
    Column("time_group", "time group"),
    Column("missing_timesheets", "missing timesheets"),
    Column("payment_terms", "terms"),
    Column("credits"),
    Column("zero_documents", "zero documents"),
    Column("tax_regime", "tax"),
    Column("tax_wording", "wording"),
    Column("tax_id"),
    Column("address"),
    Column("emails", "e-mail", most=60),
    Column("attach"),
    Column("contact"),
    Column("reference"),
    Column("timesheet_detail", "timesheets"),
    Column("allowances", "discounts and surcharges", most=80),
]


DEFAULTS = {
    "zero_documents": False,
    "tax_regime": "standard",
    "missing_timesheets": "bill",
    "credits": "separate",
    "attach": "pdf",
    "timesheet_detail": "none",
}
"""Values that a table leaves out, because every debtor has them unless its terms differ."""


FIRST_DAY = "1970-01-01"
"""The from-date of the first terms of a debtor, unless the operator gives another."""


def since(day: str) -> str:
    """The first day of terms, in a word if there is none before it."""
    return "always" if day == FIRST_DAY else day


def table_row(version: dict[str, Any]) -> dict[str, Any]:
    """Terms as a table shows them: lists as texts, and nothing where every debtor has the same."""
    texts = {
        "allowances": "; ".join(map(in_words, version["allowances"])),
        "emails": ", ".join(version["emails"]),
        "attach": ", ".join(version["attach"]),
    }
    return {
        name: None if value == DEFAULTS.get(name, "") else "yes" if value is True else value
        for name, value in (version | texts).items()
    } | {"from_date": since(str(version["from_date"]))}


def in_words(allowance: dict[str, Any]) -> str:
    """A discount or surcharge as a table shows it: discount Volume 2.5 % of timesheets."""
    percent, amount = allowance["percent"], allowance["amount"]
    figure = f"{percent} %" if percent else f"{amount} {allowance['currency']}".strip()
    of = "" if allowance["applies_to"] == "all" else f" of {allowance['applies_to']}"
    return f"{allowance['kind']} {allowance['name']} {figure}{of}"
