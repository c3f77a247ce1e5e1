"""What debtors owe: outstanding amounts of closed documents as of a day, by age (domain rules
8).

A credit note is applied to the invoices that it corrects, and a payment to the invoice that it
pays, in the order of their dates. Credits on a document with debits pay those first, so what a
document is worth is its total. What is then left above zero ages by its due date. What is left
below zero ages by its own date: a credit that corrects nothing, what a credit or a payment exceeds
the open amount by, and what is unapplied of a received payment by its date of deposit. What is
disputed is part of the ages and of the total, and is shown beside them.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from services.console.queries.amounts import at_minor_unit
from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch
from shared.calendar import AGEING_BUCKETS, ageing_bucket

COLUMNS = (*AGEING_BUCKETS, "total", "disputed")


async def ageing(connection: ReadConnection, billing_company: str, as_of: date) -> dict[str, Any]:
    """What each debtor owes as of a day, by age, and the sums per currency."""
    rows = await fetch(connection, SQL["outstanding_amounts"], company=billing_company, as_of=as_of)
    debtors = age_by_debtor(rows, as_of)
    return {
        "billing_company": billing_company,
        "as_of": as_of,
        "ages": AGEING_BUCKETS,
        "debtors": debtors,
        "totals": sum_by_currency(debtors),
    }


def age_by_debtor(rows: Iterable[Row], as_of: date) -> list[Row]:
    """Outstanding amounts of one day each (account_name, currency, day, amount, disputed,
    documents), by debtor and age.
    """
    debtors: dict[tuple[str, str], Row] = {}
    for row in rows:
        amounts = {ageing_bucket(row["day"], as_of): row["amount"], "total": row["amount"]}
        amounts["disputed"] = row["disputed"]
        _add(debtors, row["account_name"], row, amounts)
    return _rounded(debtors.values())


def sum_by_currency(debtors: Iterable[Row]) -> list[Row]:
    """The sums of all debtors, per currency."""
    sums: dict[tuple[str, str], Row] = {}
    for debtor in sorted(debtors, key=lambda debtor: str(debtor["currency"])):
        _add(sums, "", debtor, {name: debtor[name] for name in COLUMNS})
    return _rounded(sums.values())


def _add(
    sums: dict[tuple[str, str], Row], account_name: str, row: Row, amounts: dict[str, Decimal]
) -> None:
    """Adds amounts to the row of a debtor and a currency, which begins at zero."""
    new = {"account_name": account_name, "currency": row["currency"], "documents": 0}
    total = sums.setdefault(
        (account_name, row["currency"]), new | dict.fromkeys(COLUMNS, Decimal(0))
    )
    total["documents"] += row["documents"]
    for name, amount in amounts.items():
        total[name] += amount


def _rounded(rows: Iterable[Row]) -> list[Row]:
    return [
        row | {name: at_minor_unit(row[name], row["currency"]) for name in COLUMNS} for row in rows
    ]
