"""Closes documents: writes them, their lines and seals once; their lines are no longer open.

The lines come from two temporary tables that the caller has filled in the same transaction:
`selected_line` (group_no, line_no, pay_line_id, exclusion_reason = 0 for lines to close, location_no,
tax_code, tax_rate, tax, digest, corrects_invoice) and `line_location` (location_no, debtor_node,
debtor_level). `batches.store.selection` fills them for a batch, `credits.store` for a credit note.
Closing leaves `closed_document` (invoice_id, group_no) behind for the rest of the transaction.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.companies import BillingCompany, Buyer
from services.invoicer.invoices.rules.documents import Document
from shared.database import columns, joined, rows, run, run_in_thread
from shared.money import plain, rounded


class NumberedDocument(NamedTuple):
    """A document with its number, its due date and its buyer."""

    document: Document
    number: int
    invoice_number: str
    due_date: date
    buyer: Buyer


@dataclass(frozen=True, slots=True)
class Batch:
    """The head of a batch."""

    batch_id: str
    company: BillingCompany
    command_id: str
    cut_off: date
    invoice_date: date
    totals: Sequence[dict[str, object]]
    actor: str
    reason: str
    generated_at: datetime


def batch_id(invoice_date: date, command_id: str) -> str:
    """The id of the batch that a command makes: the same whenever the command is worked again."""
    return f"B{invoice_date:%Y%m%d}-{hashlib.sha256(command_id.encode()).hexdigest()[:8]}"


async def add_batch(
    connection: AsyncConnection, batch: Batch, documents: Sequence[NumberedDocument]
) -> None:
    """The batch's row."""
    await run(
        connection,
        "INSERT INTO invoicer.batch (batch_id, billing_company, command_id, cut_off_date, invoice_date, first_number, last_number, documents, line_count,"
        " totals, actor, reason, generated_at) VALUES (:batch_id, :company, :command_id, :cut_off, :invoice_date, :first, :last, :documents, :lines,"
        " CAST(:totals AS jsonb), :actor, :reason, :at)",
        batch_id=batch.batch_id,
        company=batch.company.billing_company,
        command_id=batch.command_id,
        cut_off=batch.cut_off,
        invoice_date=batch.invoice_date,
        first=documents[0].invoice_number,
        last=documents[-1].invoice_number,
        documents=len(documents),
        lines=sum(each.document.group.line_count for each in documents),
        totals=json.dumps(list(batch.totals)),
        actor=batch.actor,
        reason=batch.reason,
        at=batch.generated_at,
    )


_DOCUMENT = {
    "group_no": "bigint",
    "number": "bigint",
    "invoice_number": "text",
    "document_type": "text",
    "account_name": "text",
    "currency": "text",
    "payment_terms": "text",
    "po_number": "text",
    "tax_regime": "text",
    "tax_wording": "text",
    "tax_basis": "text",
    "due_date": "date",
    "service_from": "date",
    "service_to": "date",
    "net": "numeric",
    "tax": "numeric",
    "line_count": "integer",
    "tax_totals": "text",
    "buyer": "text",
}
INVOICES_SQL = f"""
CREATE TEMP TABLE closed_document ON COMMIT DROP AS
WITH given AS MATERIALIZED (
  SELECT * FROM unnest({columns(_DOCUMENT)}) AS d({", ".join(_DOCUMENT)}) WHERE group_no IS NOT NULL),
inserted AS (
  INSERT INTO invoicer.invoice (billing_company, batch_id, series, number, invoice_number, document_type, account_name, currency, payment_terms,
    po_number, tax_regime, tax_wording, tax_basis, invoice_date, due_date, cut_off_date, service_from, service_to, net, tax, total, line_count,
    tax_totals, seller, buyer, closed_at)
  SELECT :company, :batch_id, :series, number, invoice_number, document_type, account_name, currency, payment_terms, po_number, tax_regime,
    tax_wording, tax_basis, :invoice_date, due_date, :cut_off, service_from, service_to, net, tax, net + tax, line_count, CAST(tax_totals AS jsonb),
    CAST(:seller AS jsonb), CAST(buyer AS jsonb), :at
  FROM given ORDER BY number
  RETURNING invoice_id, number)
SELECT invoice_id, group_no FROM inserted JOIN given USING (number)"""

# `selected_line` lies in the order of groups and lines, which is nearly the order of documents: the keys of both tables grow at their ends.
LINES_SQL = """
INSERT INTO invoicer.invoice_line (invoice_id, line_no, pay_line_id, billto_node, billto_level, tax_code, tax_rate, tax_amount)
SELECT d.invoice_id, k.line_no, k.pay_line_id, s.debtor_node, s.debtor_level, k.tax_code, k.tax_rate, k.tax
FROM selected_line k
JOIN closed_document d ON d.group_no = k.group_no
JOIN line_location s ON s.location_no = k.location_no"""

SEALS_SQL = """
INSERT INTO invoicer.invoice_seal (invoice_id, content_hash)
SELECT i.invoice_id, invoicer.document_seal(i, l.lines)
FROM closed_document d
JOIN invoicer.invoice i ON i.invoice_id = d.invoice_id
JOIN (
  SELECT k.group_no, string_agg(invoicer.line_seal(k.line_no, k.digest, k.corrects_invoice, s.debtor_node, s.debtor_level, k.tax_code, k.tax_rate, k.tax),
                                CAST('' AS bytea) ORDER BY k.line_no) AS lines
  FROM selected_line k JOIN line_location s ON s.location_no = k.location_no
  WHERE k.exclusion_reason = 0 GROUP BY k.group_no) l ON l.group_no = d.group_no"""

CLOSE_LINES_SQL = """
DELETE FROM invoicer.open_line o USING selected_line k
WHERE o.billing_company = :company AND o.pay_line_id = k.pay_line_id AND k.exclusion_reason = 0"""


async def add_documents(
    connection: AsyncConnection, batch: Batch, documents: Sequence[NumberedDocument]
) -> list[int]:
    """Takes the lines from the open ones, and writes documents, lines and seals; the ids of the documents."""
    leave = run(connection, CLOSE_LINES_SQL, company=batch.company.billing_company)
    _, in_columns = await run_in_thread(leave, lambda: _columns(documents))
    await run(
        connection,
        INVOICES_SQL,
        **in_columns,
        company=batch.company.billing_company,
        batch_id=batch.batch_id,
        series=batch.company.series_prefix,
        invoice_date=batch.invoice_date,
        cut_off=batch.cut_off,
        seller=json.dumps(batch.company.seller),
        at=batch.generated_at,
    )
    await run(connection, "ANALYZE closed_document")
    written = await run(connection, LINES_SQL)
    expected = sum(each.document.group.line_count for each in documents)
    if written != expected:
        raise AssertionError(f"{written} lines written for documents that count {expected}")
    await run(connection, SEALS_SQL)
    return [
        row[0]
        for row in await rows(
            connection, "SELECT invoice_id FROM closed_document ORDER BY invoice_id"
        )
    ]


def _columns(documents: Sequence[NumberedDocument]) -> dict[str, str]:
    """The documents column by column."""
    groups = [each.document.group for each in documents]
    return {
        "group_no": joined([str(group.group_no) for group in groups]),
        "number": joined([str(each.number) for each in documents]),
        "invoice_number": joined([each.invoice_number for each in documents]),
        "document_type": joined([each.document.document_type for each in documents]),
        "account_name": joined([group.account_name for group in groups]),
        "currency": joined([group.currency for group in groups]),
        "payment_terms": joined([group.terms.payment_terms for group in groups]),
        "po_number": joined([group.po_number for group in groups]),
        "tax_regime": joined([group.terms.tax_regime for group in groups]),
        "tax_wording": joined([group.terms.tax_wording for group in groups]),
        "tax_basis": joined([each.document.tax_basis for each in documents]),
        "due_date": joined([each.due_date.isoformat() for each in documents]),
        "service_from": joined([group.service_from.isoformat() for group in groups]),
        "service_to": joined([group.service_to.isoformat() for group in groups]),
        "net": joined([str(group.net) for group in groups]),
        "tax": joined([str(group.tax) for group in groups]),
        "line_count": joined([str(group.line_count) for group in groups]),
        "tax_totals": joined([to_json(_tax_totals(each.document)).decode() for each in documents]),
        "buyer": joined([to_json(each.buyer.snapshot).decode() for each in documents]),
    }


def _tax_totals(document: Document) -> list[dict[str, str]]:
    currency = document.group.currency
    return [
        {
            "code": part.code,
            "rate": plain(part.rate),
            "net": str(rounded(part.net, currency)),
            "tax": str(rounded(part.tax, currency)),
        }
        for part in document.group.tax_parts
    ]


async def corrected_buyers(
    connection: AsyncConnection, invoice_ids: Sequence[int]
) -> dict[int, Buyer]:
    """The buyers that stand on documents already closed: what a credit note repeats."""
    query = """
        SELECT invoice_id, buyer ->> 'name', buyer ->> 'address', buyer ->> 'tax_id'
        FROM invoicer.invoice WHERE invoice_id = ANY(CAST(:ids AS bigint[]))"""
    return {
        row[0]: Buyer(row[1] or "", row[2] or "", row[3] or "")
        for row in await rows(connection, query, ids=sorted(set(invoice_ids)))
    }
