"""What debtors owe and for how long: outstanding amounts of closed documents as of a day, by age (domain rules 8).

A credit is applied to the invoice that it corrects, on whatever document it stands. What is then left above zero ages by its due date; what
is left below zero is a credit that corrects nothing, and ages by its own date.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.client.books import Row, found
from services.console.client.figures import at_minor_unit
from shared.calendar import AGES, age_of

OUTSTANDING = """
WITH said AS (
  SELECT invoice_id, account_name, currency, invoice_date, due_date, total FROM invoicer.closed_invoice
  WHERE billing_company = :company AND invoice_date <= :as_of),
credits AS (
  SELECT il.invoice_id AS stands_on, p.corrects_invoice_id AS corrects, sum(p.amount + il.tax_amount) AS amount
  FROM invoicer.pay_line p JOIN invoicer.invoice_line il USING (pay_line_id) JOIN said ON said.invoice_id = il.invoice_id
  WHERE p.corrects_invoice_id IS NOT NULL GROUP BY 1, 2),
left_over AS (
  SELECT said.*, total - coalesce(elsewhere.amount, 0) + coalesce(taken.amount, 0) AS amount
  FROM said
  LEFT JOIN (SELECT stands_on, sum(amount) AS amount FROM credits GROUP BY 1) elsewhere ON elsewhere.stands_on = said.invoice_id
  LEFT JOIN (SELECT corrects, sum(amount) AS amount FROM credits GROUP BY 1) taken ON taken.corrects = said.invoice_id)
SELECT account_name, currency, CASE WHEN amount < 0 THEN invoice_date ELSE due_date END AS day, sum(amount) AS amount, count(*) AS documents
FROM left_over WHERE amount <> 0
GROUP BY account_name, currency, day ORDER BY account_name, currency, day
"""


async def ageing(connection: AsyncConnection, billing_company: str, as_of: date) -> dict[str, Any]:
    """What each debtor owes as of a day, by age, and the sums per currency."""
    rows = await found(connection, OUTSTANDING, company=billing_company, as_of=as_of)
    debtors = aged(rows, as_of)
    return {"billing_company": billing_company, "as_of": as_of, "ages": AGES, "debtors": debtors, "totals": summed(debtors)}


def aged(rows: Iterable[Row], as_of: date) -> list[Row]:
    """Outstanding amounts of one day each (account_name, currency, day, amount, documents), by debtor and currency over the ages."""
    debtors: dict[tuple[str, str], Row] = {}
    for row in rows:
        debtor = debtors.setdefault((row["account_name"], row["currency"]), _empty(row["account_name"], row["currency"]))
        _add(debtor, {age_of(row["day"], as_of): row["amount"], "total": row["amount"]}, row["documents"])
    return [_whole(debtor) for debtor in debtors.values()]


def summed(debtors: Iterable[Row]) -> list[Row]:
    """The sums of all debtors, per currency."""
    sums: dict[str, Row] = {}
    for debtor in debtors:
        _add(sums.setdefault(debtor["currency"], _empty("", debtor["currency"])), {name: debtor[name] for name in (*AGES, "total")}, debtor["documents"])
    return [_whole(sums[currency]) for currency in sorted(sums)]


def _empty(account_name: str, currency: str) -> Row:
    return {"account_name": account_name, "currency": currency, "documents": 0} | {name: Decimal(0) for name in (*AGES, "total")}


def _add(row: Row, amounts: dict[str, Decimal], documents: int) -> None:
    row["documents"] += documents
    for name, amount in amounts.items():
        row[name] += amount


def _whole(row: Row) -> Row:
    return row | {name: at_minor_unit(row[name], row["currency"]) for name in (*AGES, "total")}
