"""Closed documents as the invoicer's views show them, and the mapping of a ledger: what a request is made from."""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.rules.documents import Corrected
from services.arg_sync.rules.mapping import Codes, SoldLine
from shared.database import rows, run
from shared.money import rounded
from shared.terms import ClosedDocument, ClosedLine, CorrectedInvoice, Party, TaxTotal

HEADS = """
SELECT invoice_id, invoice_number, document_type, batch_id, billing_company, account_name, seller, buyer, invoice_date, due_date, cut_off_date, currency,
  payment_terms, po_number, tax_regime, tax_wording, net, tax, total, line_count, service_from, service_to, tax_totals, content_hash
FROM invoicer.closed_invoice WHERE invoice_id = ANY(CAST(:ids AS bigint[]))"""
LINES = """
SELECT l.invoice_id, l.line_no, l.description, l.document_kind, l.document_id, l.pay_line_id, l.worker_id, l.requirement_id, l.week_ending,
  l.service_from, l.service_to, l.time_type, l.quantity, l.unit, l.unit_price, l.amount, l.tax_code, l.tax_rate, l.tax_amount, l.po_number,
  l.project, l.cost_center, coalesce(l.corrects_invoice, '') AS corrects_invoice, l.corrects_line_no AS corrects_line, l.item_id
FROM invoicer.closed_invoice_line l WHERE l.invoice_id = ANY(CAST(:ids AS bigint[])) ORDER BY l.invoice_id, l.line_no"""


async def documents_for(connection: AsyncConnection, invoice_ids: Sequence[int]) -> dict[int, ClosedDocument]:
    """The heads of closed documents."""
    return {row.invoice_id: _document(row) for row in await rows(connection, HEADS, ids=list(invoice_ids))}


async def lines_for(connection: AsyncConnection, documents: Iterable[ClosedDocument]) -> dict[int, list[SoldLine]]:
    """The lines of documents."""
    currencies = {document.invoice_id: document.currency for document in documents}
    found: dict[int, list[SoldLine]] = {an_id: [] for an_id in currencies}
    for row in await rows(connection, LINES, ids=list(currencies)):
        values, currency = row._asdict(), currencies[row.invoice_id]
        item = values.pop("item_id") or ""
        values["amount"] = rounded(values["amount"], currency)
        values["tax_amount"] = rounded(values["tax_amount"], currency)
        found[row.invoice_id].append(SoldLine(ClosedLine(**values), item))
    return found


async def corrected_by(connection: AsyncConnection, ledger: str, invoice_id: int) -> list[Corrected]:
    """The invoices that a credit note corrects, by how much, with their ids in this ledger."""
    found = await rows(
        connection,
        "SELECT c.corrects_number, c.amount, coalesce(d.remote_id, '') AS remote_id FROM arg_sync.correction c"
        " LEFT JOIN arg_sync.delivery d ON d.ledger = :ledger AND d.invoice_id = c.corrects_invoice_id AND d.state = 'posted'"
        " WHERE c.invoice_id = :invoice_id ORDER BY c.corrects_invoice_id",
        ledger=ledger,
        invoice_id=invoice_id,
    )
    return [Corrected(row.corrects_number, row.amount, row.remote_id) for row in found]


async def codes_for(connection: AsyncConnection, ledger: str) -> Codes:
    """The mapping of a ledger."""
    found = await rows(connection, "SELECT what, code, remote FROM arg_sync.mapping WHERE ledger = :ledger", ledger=ledger)
    return {(row.what, row.code): row.remote for row in found}


async def put_mapping(connection: AsyncConnection, ledger: str, mapped: Sequence[tuple[str, str, str]], actor: str) -> None:
    """Sets rows of the mapping."""
    await run(
        connection,
        "INSERT INTO arg_sync.mapping (ledger, what, code, remote, actor, mapped_at)"
        " SELECT :ledger, what, code, remote, :actor, now() FROM unnest(CAST(:whats AS text[]), CAST(:codes AS text[]), CAST(:remotes AS text[]))"
        "   AS m(what, code, remote)"
        " ON CONFLICT (ledger, what, code) DO UPDATE SET remote = excluded.remote, actor = excluded.actor, mapped_at = excluded.mapped_at",
        ledger=ledger,
        actor=actor,
        whats=[what for what, _, _ in mapped],
        codes=[code for _, code, _ in mapped],
        remotes=[remote for _, _, remote in mapped],
    )


def _document(row: Any) -> ClosedDocument:
    values = row._asdict()
    currency = row.currency
    for name in ("net", "tax", "total"):
        values[name] = rounded(values[name], currency)
    values["seller"], values["buyer"] = (_party(_as_json(values[side])) for side in ("seller", "buyer"))
    values["tax_totals"] = tuple(
        TaxTotal(each["code"], Decimal(each["rate"]), rounded(Decimal(each["net"]), currency), rounded(Decimal(each["tax"]), currency))
        for each in _as_json(values["tax_totals"])
    )
    values["content_hash"] = values["content_hash"] or ""
    corrects: tuple[CorrectedInvoice, ...] = ()  # with amounts and ids they come from `corrected_by`
    return ClosedDocument(**values, corrects=corrects)


def _party(snapshot: Mapping[str, Any]) -> Party:
    return Party(snapshot.get("name") or "", snapshot.get("address") or "", snapshot.get("tax_id") or "", snapshot.get("bank") or "")


def _as_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
