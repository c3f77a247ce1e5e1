"""Closes documents: writes them, their lines and their seals once; the lines are no longer open.

The lines come from two temporary tables that the caller fills in the same transaction:
`selected_line` (group_no, line_no, pay_line_id, exclusion_reason = 0 for lines to close,
location_no, tax_code, tax_rate, tax, digest, corrects_invoice) and `line_location` (location_no,
debtor_node, debtor_level). If a document has allowances, a third one, `line_allowance`
(pay_line_id, allowance), has the shares of the lines that take one. `batches.store` fills them for
a batch, `credits.store` for a credit note, `opening.store` for opening data. Closing creates
`closed_document` (invoice_id, group_no) for the rest of the transaction.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.companies import BillingCompany, Buyer
from services.invoicer.invoices.rules.documents import Document
from shared.database import columns, joined_rows, kinds_of, rows, run, run_in_thread
from shared.events.commands import ForgetWorker
from shared.sql import named_queries
from shared.stored import as_json

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
_DOCUMENT = kinds_of(
    "group_no bigint, number bigint, invoice_number text, document_type text, account_name text,"
    " currency text, payment_terms text, po_number text, tax_regime text, tax_wording text,"
    " tax_basis text, due_date date, service_from date, service_to date, net numeric, tax numeric,"
    " line_count integer, tax_totals jsonb, allowances jsonb, buyer jsonb, invoice_date date,"
    " credit_reason text, invoice_option jsonb"
)
_NAMES = ", ".join(name for name in _DOCUMENT if name != "group_no")
_ADD_INVOICES = f"""
CREATE TEMP TABLE closed_document ON COMMIT DROP AS
WITH given AS MATERIALIZED (
  SELECT * FROM unnest({columns(_DOCUMENT)}) AS d({", ".join(_DOCUMENT)})
  WHERE group_no IS NOT NULL),
inserted AS (
  INSERT INTO invoicer.invoice
    ({_NAMES}, billing_company, batch_id, series, cut_off_date, total, seller,
     closed_at)
  SELECT {_NAMES}, :company, :batch_id, :series, :cut_off, net + tax, CAST(:seller AS jsonb), :at
  FROM given ORDER BY number
  RETURNING invoice_id, number)
SELECT invoice_id, group_no FROM inserted JOIN given USING (number)"""


_WITHOUT_ALLOWANCES = {"column": "", "share": "", "shares": ""}
_WITH_ALLOWANCES = {
    "column": ", allowance_amount",
    "share": ", coalesce(a.allowance, 0)",
    "shares": "LEFT JOIN line_allowance a ON a.pay_line_id = k.pay_line_id",
}
"""The parts of the queries that write lines: most batches have no allowances."""


class NumberedDocument(NamedTuple):
    """A document with its number, its due date, its buyer and its date.

    `credit_reason`: why an operator credited by hand.
    """

    document: Document
    number: int
    invoice_number: str
    due_date: date
    buyer: Buyer
    invoice_date: date
    credit_reason: str | None = None


class Batch(NamedTuple):
    """The head of a batch. `chosen`: what it is limited to, by name (`BatchFilter.chosen`)."""

    batch_id: str
    company: BillingCompany
    command_id: str
    cut_off: date
    invoice_date: date
    totals: Sequence[dict[str, object]]
    actor: str
    reason: str
    generated_at: datetime
    closed_on: date
    chosen: Mapping[str, Any] = MappingProxyType({})


def batch_id(invoice_date: date, command_id: str) -> str:
    """Return the id of a command's batch: the same whenever the command is processed again."""
    return f"B{invoice_date:%Y%m%d}-{hashlib.sha256(command_id.encode()).hexdigest()[:8]}"


async def add_batch(
    connection: AsyncConnection, batch: Batch, documents: Sequence[NumberedDocument]
) -> None:
    """Add the row of a batch."""
    await run(
        connection,
        _QUERIES["add_batch"],
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
        closed_on=batch.closed_on,
        chosen=json.dumps(batch.chosen) if batch.chosen else None,
    )


async def add_documents(
    connection: AsyncConnection, batch: Batch, documents: Sequence[NumberedDocument]
) -> list[int]:
    """Close the open lines, write documents, lines and seals, and return the documents' ids."""
    company = batch.company.billing_company
    _, document_columns = await run_in_thread(
        run(connection, _QUERIES["close_lines"], company=company),
        lambda: joined_rows(_DOCUMENT, map(_document_row, documents)),
    )
    await run(
        connection,
        _ADD_INVOICES,
        **document_columns,
        company=company,
        batch_id=batch.batch_id,
        series=batch.company.series_prefix,
        cut_off=batch.cut_off,
        seller=json.dumps(batch.company.seller),
        at=batch.generated_at,
    )
    await run(connection, "ANALYZE closed_document")
    parts = _WITH_ALLOWANCES if _has_allowances(documents) else _WITHOUT_ALLOWANCES
    written = await run(connection, _QUERIES["add_lines"].format_map(parts))
    expected = sum(each.document.group.line_count for each in documents)
    if written != expected:
        raise AssertionError(f"{written} lines written for documents that count {expected}")
    (names,) = await rows(connection, _QUERIES["any_names"])
    if names.any_names:
        await run(connection, _QUERIES["add_details"])
    await run(connection, _QUERIES["add_seals"].format_map(parts))
    query = "SELECT invoice_id FROM closed_document ORDER BY invoice_id"
    return [row[0] for row in await rows(connection, query)]


def _has_allowances(documents: Sequence[NumberedDocument]) -> bool:
    """Return whether a document has discounts or surcharges."""
    return any(each.document.group.allowances for each in documents)


def _document_row(each: NumberedDocument) -> tuple[str | None, ...]:
    """Return the values of a document as texts, in the order of `_DOCUMENT`."""
    group = each.document.group
    return (
        str(group.group_no),
        str(each.number),
        each.invoice_number,
        each.document.document_type,
        group.account_name,
        group.currency,
        group.terms.payment_terms,
        group.po_number,
        group.terms.tax_regime,
        group.terms.tax_wording,
        each.document.tax_basis,
        each.due_date.isoformat(),
        group.service_from.isoformat(),
        group.service_to.isoformat(),
        str(group.net),
        str(group.tax),
        str(group.line_count),
        to_json(group.tax_rows).decode(),
        to_json(group.allowance_rows).decode() if group.allowances else None,
        to_json(each.buyer.snapshot).decode(),
        each.invoice_date.isoformat(),
        each.credit_reason,
        to_json(group.option.row).decode() if group.option else None,
    )


async def corrected_buyers(
    connection: AsyncConnection, invoice_ids: Sequence[int]
) -> dict[int, Buyer]:
    """Return the buyers of closed documents: a credit note repeats them."""
    query = """
        SELECT invoice_id, buyer FROM invoicer.invoice
        WHERE invoice_id = ANY(CAST(:ids AS bigint[]))"""
    found = await rows(connection, query, ids=sorted(set(invoice_ids)))
    return {row.invoice_id: _buyer(as_json(row.buyer)) for row in found}


def _buyer(snapshot: Mapping[str, str]) -> Buyer:
    return Buyer(*(snapshot.get(name) or "" for name in Buyer._fields))


async def forget_worker(connection: AsyncConnection, command: ForgetWorker) -> dict[str, int]:
    """Remove the name of a worker from closed documents; the seal covers its digest."""
    removed = await run(
        connection,
        "UPDATE invoicer.invoice_detail SET detail = NULL"
        " WHERE about = 'worker' AND subject_id = :id AND detail IS NOT NULL",
        id=command.worker_id,
    )
    return {"names on documents": removed}
