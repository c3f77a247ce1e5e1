"""What debtors owe and for how long: outstanding amounts of closed documents as of a day, by age (domain rules 8).

A credit is applied to the invoice that it corrects, on whatever document it stands, and a payment to the invoice that it pays, in the order
of their dates. What is then left above zero ages by its due date. What is left below zero belongs to nothing and ages by its own date: a
credit that corrects nothing, and what a credit or a payment is larger than what was left open.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from services.console.client.books import ReadConnection, Row, found
from services.console.client.figures import at_minor_unit
from shared.calendar import AGEING_BUCKETS, ageing_bucket

OUTSTANDING = """
WITH said AS (
  SELECT invoice_id, account_name, currency, invoice_date, due_date, total FROM invoicer.closed_invoice
  WHERE billing_company = :company AND invoice_date <= :as_of),
credits AS (
  SELECT il.invoice_id AS stands_on, p.corrects_invoice_id AS corrects, said.invoice_date AS day, sum(p.amount + il.tax_amount) AS amount
  FROM invoicer.pay_line p JOIN invoicer.invoice_line il USING (pay_line_id) JOIN said ON said.invoice_id = il.invoice_id
  WHERE p.corrects_invoice_id IS NOT NULL GROUP BY 1, 2, 3),
own AS (
  SELECT said.*, total - coalesce(elsewhere.amount, 0) AS own
  FROM said LEFT JOIN (SELECT stands_on, sum(amount) AS amount FROM credits GROUP BY 1) elsewhere ON elsewhere.stands_on = said.invoice_id),
taken AS (
  SELECT corrects AS invoice_id, day, 0 AS kind, CAST(stands_on AS text) AS id, -amount AS amount FROM credits
  UNION ALL
  SELECT m.invoice_id, min(m.paid_on), 1, m.ledger || ' ' || m.payment_id, sum(m.amount)
  FROM invoicer.payment m JOIN said USING (invoice_id) WHERE m.paid_on <= :as_of GROUP BY m.invoice_id, m.ledger, m.payment_id),
running AS (
  SELECT o.account_name, o.currency, t.invoice_id, t.day, t.amount, greatest(o.own, 0) AS room,
         sum(t.amount) OVER (PARTITION BY t.invoice_id ORDER BY t.day, t.kind, t.id) AS so_far
  FROM taken t JOIN own o USING (invoice_id)),
parts AS (
  SELECT account_name, currency, invoice_id, invoice_date AS day, own AS amount FROM own WHERE own < 0
  UNION ALL
  SELECT o.account_name, o.currency, o.invoice_id, o.due_date, o.own - coalesce(t.amount, 0)
  FROM own o LEFT JOIN (SELECT invoice_id, sum(amount) AS amount FROM taken GROUP BY 1) t USING (invoice_id) WHERE o.own > coalesce(t.amount, 0)
  UNION ALL
  SELECT account_name, currency, invoice_id, day, -least(amount, so_far - room) FROM running WHERE so_far > room AND amount > 0)
SELECT account_name, currency, day, sum(amount) AS amount, count(*) AS documents
FROM parts GROUP BY account_name, currency, day ORDER BY account_name, currency, day
"""


async def ageing(connection: ReadConnection, billing_company: str, as_of: date) -> dict[str, Any]:
    """What each debtor owes as of a day, by age, and the sums per currency."""
    rows = await found(connection, OUTSTANDING, company=billing_company, as_of=as_of)
    debtors = aged(rows, as_of)
    return {
        "billing_company": billing_company,
        "as_of": as_of,
        "ages": AGEING_BUCKETS,
        "debtors": debtors,
        "totals": summed(debtors),
    }


def aged(rows: Iterable[Row], as_of: date) -> list[Row]:
    """Outstanding amounts of one day each (account_name, currency, day, amount, documents), by debtor and currency over the ages."""
    debtors: dict[tuple[str, str], Row] = {}
    for row in rows:
        debtor = debtors.setdefault(
            (row["account_name"], row["currency"]), _empty(row["account_name"], row["currency"])
        )
        _add(
            debtor,
            {ageing_bucket(row["day"], as_of): row["amount"], "total": row["amount"]},
            row["documents"],
        )
    return [_whole(debtor) for debtor in debtors.values()]


def summed(debtors: Iterable[Row]) -> list[Row]:
    """The sums of all debtors, per currency."""
    sums: dict[str, Row] = {}
    for debtor in debtors:
        _add(
            sums.setdefault(debtor["currency"], _empty("", debtor["currency"])),
            {name: debtor[name] for name in (*AGEING_BUCKETS, "total")},
            debtor["documents"],
        )
    return [_whole(sums[currency]) for currency in sorted(sums)]


def _empty(account_name: str, currency: str) -> Row:
    return {"account_name": account_name, "currency": currency, "documents": 0} | {
        name: Decimal(0) for name in (*AGEING_BUCKETS, "total")
    }


def _add(row: Row, amounts: dict[str, Decimal], documents: int) -> None:
    row["documents"] += documents
    for name, amount in amounts.items():
        row[name] += amount


def _whole(row: Row) -> Row:
    return row | {
        name: at_minor_unit(row[name], row["currency"]) for name in (*AGEING_BUCKETS, "total")
    }
