"""Pay lines: facts that are inserted once, and the one narrow table in which each of them is (open, draft, invoiced, replaced).

Everything is set-based: a batch of documents costs the same few statements as one document.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.lines.rules import DocKey, InvoicedLine, LineLocation, NewLine, PayLine
from shared.database import columns, joined, rows, run
from shared.events.realizations import RealizationLine
from shared.money import plain

HOUR = "HUR"

_LINE = {
    "company": "text",
    "kind": "text",
    "document": "text",
    "realization_no": "integer",
    "line_key": "text",
    "line_kind": "text",
    "quantity": "numeric",
    "unit": "text",
    "unit_price": "numeric",
    "amount": "numeric",
    "currency": "text",
    "effective": "date",
    "service_from": "date",
    "service_to": "date",
    "week_ending": "date",
    "node": "text",
    "requirement": "text",
    "worker": "text",
    "time_type": "text",
    "item": "text",
    "project": "text",
    "cost_center": "text",
    "po_number": "text",
    "tax_code": "text",
    "rate_version": "text",
    "rate_book": "integer",
    "description": "text",
    "derivation": "text",
    "day_minutes": "integer",
    "announce": "boolean",
    "corrects_invoice": "bigint",
    "corrects_line": "integer",
}
_ADD = f"""
WITH inserted AS (
  INSERT INTO invoicer.pay_line (
    billing_company, document_kind, document_id, realization_no, line_key, line_kind, quantity, unit, unit_price, amount, currency,
    effective_date, service_from, service_to, accounting_period, week_ending, billto_node, requirement_id, worker_id, time_type, item_id,
    project, cost_center, po_number, tax_code, rate_version, rate_book, description, derivation, day_minutes,
    announce_when_due, corrects_invoice_id, corrects_line_no)
  SELECT n.company, n.kind, n.document, n.realization_no, n.line_key, n.line_kind, n.quantity, n.unit, n.unit_price, n.amount, n.currency,
    n.effective, n.service_from, n.service_to, extract(year FROM n.effective)::int * 100 + extract(month FROM n.effective)::int, n.week_ending,
    n.node, n.requirement, n.worker, n.time_type, n.item, n.project, n.cost_center, n.po_number, n.tax_code, n.rate_version, n.rate_book,
    n.description, CAST(n.derivation AS jsonb), n.day_minutes, n.announce, n.corrects_invoice, n.corrects_line
  FROM unnest({columns(_LINE)}) WITH ORDINALITY AS n({", ".join(_LINE)}, line_order)
  WHERE n.document IS NOT NULL ORDER BY n.line_order
  RETURNING billing_company, pay_line_id, effective_date, week_ending, billto_node)
INSERT INTO invoicer.open_line (billing_company, pay_line_id, effective_date, week_ending, billto_node, correction)
SELECT billing_company, pay_line_id, effective_date, week_ending, billto_node, CAST(:correction AS boolean) FROM inserted
"""

_COUNTING = """
SELECT p.pay_line_id, p.document_kind, p.document_id, p.line_key, p.line_kind, p.billing_company, p.billto_node, p.currency, p.quantity, p.unit,
       p.unit_price, p.amount, p.effective_date, p.service_from, p.service_to, p.week_ending, p.requirement_id, p.worker_id, p.time_type,
       p.item_id, p.project, p.cost_center, p.po_number, p.tax_code, p.rate_version, p.rate_book, p.description, p.derivation,
       p.corrects_invoice_id, p.corrects_line_no, il.invoice_id, il.line_no, i.invoice_number,
       CASE WHEN o.pay_line_id IS NOT NULL THEN 'open' WHEN d.pay_line_id IS NOT NULL THEN 'draft' WHEN il.pay_line_id IS NOT NULL THEN 'invoiced' END AS location
FROM invoicer.pay_line p
LEFT JOIN invoicer.open_line o ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.draft_line d ON d.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice_line il ON il.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice i ON i.invoice_id = il.invoice_id
"""


class OpenedLine(NamedTuple):
    """A line to be opened, with the document and statement that open it."""

    document: DocKey
    realization_no: int
    line: NewLine


async def add_lines(
    connection: AsyncConnection,
    lines: Sequence[OpenedLine],
    announce: Callable[[RealizationLine], bool],
) -> None:
    """Opens lines in the order given; those that correct an invoiced line apart, because a batch takes them whatever their week."""
    for correction in (False, True):
        part = [one for one in lines if one.line.correction is correction]
        if part:
            await run(connection, _ADD, correction=correction, **_columns(part, announce))


def _columns(
    lines: Sequence[OpenedLine], announce: Callable[[RealizationLine], bool]
) -> dict[str, str]:
    realized = [one.line.line for one in lines]
    corrects = [one.line.corrects for one in lines]
    return {
        "company": joined([line.billing_company for line in realized]),
        "kind": joined([one.document[0] for one in lines]),
        "document": joined([one.document[1] for one in lines]),
        "realization_no": joined([str(one.realization_no) for one in lines]),
        "line_key": joined([line.line_key for line in realized]),
        "line_kind": joined([line.line_kind for line in realized]),
        "quantity": joined([plain(line.quantity) for line in realized]),
        "unit": joined([line.unit for line in realized]),
        "unit_price": joined([plain(line.unit_price) for line in realized]),
        "amount": joined([plain(line.amount) for line in realized]),
        "currency": joined([line.currency for line in realized]),
        "effective": joined([line.effective_date.isoformat() for line in realized]),
        "service_from": joined([line.service_from.isoformat() for line in realized]),
        "service_to": joined([line.service_to.isoformat() for line in realized]),
        "week_ending": joined(
            [
                None if line.week_ending is None else line.week_ending.isoformat()
                for line in realized
            ]
        ),
        "node": joined([line.billto_node for line in realized]),
        "requirement": joined([line.requirement_id for line in realized]),
        "worker": joined([line.worker_id for line in realized]),
        "time_type": joined([line.time_type for line in realized]),
        "item": joined([line.item_id for line in realized]),
        "project": joined([line.project for line in realized]),
        "cost_center": joined([line.cost_center for line in realized]),
        "po_number": joined([line.po_number for line in realized]),
        "tax_code": joined([line.tax_code for line in realized]),
        "rate_version": joined([line.rate_version for line in realized]),
        "rate_book": joined([str(line.rate_book) for line in realized]),
        "description": joined([line.description for line in realized]),
        "derivation": joined([to_json(line.derivation).decode() for line in realized]),
        "day_minutes": joined([str(most_minutes(line)) for line in realized]),
        "announce": joined([str(announce(line)) for line in realized]),
        "corrects_invoice": joined(
            [None if invoiced_line is None else str(invoiced_line[0]) for invoiced_line in corrects]
        ),
        "corrects_line": joined(
            [None if invoiced_line is None else str(invoiced_line[1]) for invoiced_line in corrects]
        ),
    }


def most_minutes(line: RealizationLine) -> int:
    """The most time that the line has on one work day, rounded up. What is counted in days or pieces has none."""
    hours = line.derivation.get("hours") if line.unit == HOUR else None
    return ceil(max(map(Decimal, hours.values())) * 60) if hours else 0


async def companies_of(connection: AsyncConnection, documents: Iterable[DocKey]) -> set[str]:
    """Billing companies of all lines that documents ever had."""
    ids = sorted({document_id for _, document_id in documents})
    if not ids:
        return set()
    found = await rows(
        connection,
        "SELECT DISTINCT billing_company FROM invoicer.pay_line WHERE document_id = ANY(CAST(:ids AS text[]))",
        ids=ids,
    )
    return {row.billing_company for row in found}


async def pay_lines_for(
    connection: AsyncConnection, documents: Iterable[DocKey]
) -> dict[DocKey, list[PayLine]]:
    """The lines that count of documents: open, drafted, invoiced; what was replaced is history. In the order of their birth."""
    wanted = set(documents)
    found = await rows(
        connection,
        _COUNTING + "WHERE p.document_id = ANY(CAST(:ids AS text[])) ORDER BY p.pay_line_id",
        ids=sorted({document_id for _, document_id in wanted}),
    )
    pay_lines: dict[DocKey, list[PayLine]] = {}
    for row in found:
        document = (row.document_kind, row.document_id)
        if row.location is not None and document in wanted:
            pay_lines.setdefault(document, []).append(_pay_line(row))
    return pay_lines


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A pay line by its id: its document, and where it is (None: replaced)."""

    pay_line_id: int
    document: DocKey
    location: LineLocation | None
    pay_line: PayLine


async def lines_by_id(
    connection: AsyncConnection, pay_line_ids: Iterable[int]
) -> dict[int, FoundLine]:
    """Pay lines that operators name, wherever they are."""
    found = await rows(
        connection,
        _COUNTING + "WHERE p.pay_line_id = ANY(CAST(:ids AS bigint[]))",
        ids=sorted(set(pay_line_ids)),
    )
    return {
        row.pay_line_id: FoundLine(
            row.pay_line_id, (row.document_kind, row.document_id), row.location, _pay_line(row)
        )
        for row in found
    }


def _pay_line(row: Any) -> PayLine:
    line = RealizationLine.model_construct(
        **{name: getattr(row, name) for name in RealizationLine.model_fields}
    )
    invoiced_line = (
        None
        if row.invoice_id is None
        else InvoicedLine(row.invoice_id, row.line_no, row.invoice_number or "")
    )
    corrects = (
        None if row.corrects_invoice_id is None else (row.corrects_invoice_id, row.corrects_line_no)
    )
    return PayLine(row.pay_line_id, row.location or "open", line, invoiced_line, corrects)


@dataclass(frozen=True, slots=True)
class ReplacedLine:
    """A line that gives up its place to a later statement."""

    pay_line: PayLine
    by_realization: int


async def replace_lines(connection: AsyncConnection, lines: Sequence[ReplacedLine]) -> None:
    """Moves lines out of the open ones, or off their draft."""
    if not lines:
        return
    in_order = sorted(lines, key=lambda one: one.pay_line.pay_line_id)
    for location, table in (("open", "open_line"), ("draft", "draft_line")):
        part = [one.pay_line for one in in_order if one.pay_line.location == location]
        if part:
            await run(
                connection,
                f"DELETE FROM invoicer.{table} t USING unnest(CAST(:companies AS text[]), CAST(:ids AS bigint[])) AS r(company, id)"
                " WHERE t.billing_company = r.company AND t.pay_line_id = r.id",
                companies=[one.line.billing_company for one in part],
                ids=[one.pay_line_id for one in part],
            )
    await run(
        connection,
        "INSERT INTO invoicer.replaced_line (pay_line_id, replaced_by_realization)"
        " SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:by AS integer[])) AS r(id, replaced_by_realization) ORDER BY id",
        ids=[one.pay_line.pay_line_id for one in in_order],
        by=[one.by_realization for one in in_order],
    )


async def company_days(
    connection: AsyncConnection, companies: Iterable[str]
) -> dict[str, tuple[str, date | None]]:
    """Time zone (UTC if the company is unknown) and watermark of companies. To be read under their lock."""
    found = await rows(
        connection,
        "SELECT c.billing_company, coalesce(k.time_zone, 'UTC') AS time_zone, w.to_date"
        " FROM unnest(CAST(:companies AS text[])) AS c(billing_company)"
        " LEFT JOIN fee_realizer.billing_company_settings k USING (billing_company) LEFT JOIN scheduler.due_watermark w USING (billing_company)",
        companies=sorted(set(companies)),
    )
    return {row.billing_company: (row.time_zone, row.to_date) for row in found}
