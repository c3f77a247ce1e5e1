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

from services.invoicer.rules.settlement import NewLine, Place, Spot, Standing
from shared.database import columns, joined, rows, run
from shared.events.realizations import RealizationLine
from shared.money import plain

HOUR = "HUR"
DocKey = tuple[str, str]
"""Document kind and id."""

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
WITH born AS (
  INSERT INTO invoicer.pay_line (
    billing_company, document_kind, document_id, realization_no, line_key, line_kind, quantity, unit, unit_price, amount, currency,
    effective_date, service_from, service_to, accounting_period, week_ending, billto_node, requirement_id, worker_id, time_type, item_id,
    project, cost_center, po_number, tax_code, rate_version, rate_book, description, derivation, day_minutes,
    announce, corrects_invoice_id, corrects_line_no)
  SELECT n.company, n.kind, n.document, n.realization_no, n.line_key, n.line_kind, n.quantity, n.unit, n.unit_price, n.amount, n.currency,
    n.effective, n.service_from, n.service_to, extract(year FROM n.effective)::int * 100 + extract(month FROM n.effective)::int, n.week_ending,
    n.node, n.requirement, n.worker, n.time_type, n.item, n.project, n.cost_center, n.po_number, n.tax_code, n.rate_version, n.rate_book,
    n.description, CAST(n.derivation AS jsonb), n.day_minutes, n.announce, n.corrects_invoice, n.corrects_line
  FROM unnest({columns(_LINE)}) WITH ORDINALITY AS n({", ".join(_LINE)}, line_order)
  WHERE n.document IS NOT NULL ORDER BY n.line_order
  RETURNING billing_company, pay_line_id, effective_date, week_ending, billto_node)
INSERT INTO invoicer.open_line (billing_company, pay_line_id, effective_date, week_ending, billto_node, correction)
SELECT billing_company, pay_line_id, effective_date, week_ending, billto_node, CAST(:correction AS boolean) FROM born
"""

_COUNTING = """
SELECT p.pay_line_id, p.document_kind, p.document_id, p.line_key, p.line_kind, p.billing_company, p.billto_node, p.currency, p.quantity, p.unit,
       p.unit_price, p.amount, p.effective_date, p.service_from, p.service_to, p.week_ending, p.requirement_id, p.worker_id, p.time_type,
       p.item_id, p.project, p.cost_center, p.po_number, p.tax_code, p.rate_version, p.rate_book, p.description, p.derivation,
       p.corrects_invoice_id, p.corrects_line_no, il.invoice_id, il.line_no, i.invoice_number,
       CASE WHEN o.pay_line_id IS NOT NULL THEN 'open' WHEN d.pay_line_id IS NOT NULL THEN 'draft' WHEN il.pay_line_id IS NOT NULL THEN 'invoiced' END AS place
FROM invoicer.pay_line p
LEFT JOIN invoicer.open_line o ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.draft_line d ON d.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice_line il ON il.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice i ON i.invoice_id = il.invoice_id
"""


class Opened(NamedTuple):
    """A line to be opened, with the document and statement that open it."""

    document: DocKey
    realization_no: int
    line: NewLine


async def add_lines(
    connection: AsyncConnection,
    lines: Sequence[Opened],
    announce: Callable[[RealizationLine], bool],
) -> None:
    """Opens lines in the order given; those that correct an invoiced line apart, because a batch takes them whatever their week."""
    for correction in (False, True):
        part = [one for one in lines if one.line.correction is correction]
        if part:
            await run(connection, _ADD, correction=correction, **_columns(part, announce))


def _columns(
    lines: Sequence[Opened], announce: Callable[[RealizationLine], bool]
) -> dict[str, str]:
    said = [one.line.line for one in lines]
    corrects = [one.line.corrects for one in lines]
    return {
        "company": joined([line.billing_company for line in said]),
        "kind": joined([one.document[0] for one in lines]),
        "document": joined([one.document[1] for one in lines]),
        "realization_no": joined([str(one.realization_no) for one in lines]),
        "line_key": joined([line.line_key for line in said]),
        "line_kind": joined([line.line_kind for line in said]),
        "quantity": joined([plain(line.quantity) for line in said]),
        "unit": joined([line.unit for line in said]),
        "unit_price": joined([plain(line.unit_price) for line in said]),
        "amount": joined([plain(line.amount) for line in said]),
        "currency": joined([line.currency for line in said]),
        "effective": joined([line.effective_date.isoformat() for line in said]),
        "service_from": joined([line.service_from.isoformat() for line in said]),
        "service_to": joined([line.service_to.isoformat() for line in said]),
        "week_ending": joined(
            [None if line.week_ending is None else line.week_ending.isoformat() for line in said]
        ),
        "node": joined([line.billto_node for line in said]),
        "requirement": joined([line.requirement_id for line in said]),
        "worker": joined([line.worker_id for line in said]),
        "time_type": joined([line.time_type for line in said]),
        "item": joined([line.item_id for line in said]),
        "project": joined([line.project for line in said]),
        "cost_center": joined([line.cost_center for line in said]),
        "po_number": joined([line.po_number for line in said]),
        "tax_code": joined([line.tax_code for line in said]),
        "rate_version": joined([line.rate_version for line in said]),
        "rate_book": joined([str(line.rate_book) for line in said]),
        "description": joined([line.description for line in said]),
        "derivation": joined([to_json(line.derivation).decode() for line in said]),
        "day_minutes": joined([str(most_minutes(line)) for line in said]),
        "announce": joined([str(announce(line)) for line in said]),
        "corrects_invoice": joined([None if spot is None else str(spot[0]) for spot in corrects]),
        "corrects_line": joined([None if spot is None else str(spot[1]) for spot in corrects]),
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


async def standing_for(
    connection: AsyncConnection, documents: Iterable[DocKey]
) -> dict[DocKey, list[Standing]]:
    """The lines that count of documents: open, drafted, invoiced; what was replaced is history. In the order of their birth."""
    wanted = set(documents)
    found = await rows(
        connection,
        _COUNTING + "WHERE p.document_id = ANY(CAST(:ids AS text[])) ORDER BY p.pay_line_id",
        ids=sorted({document_id for _, document_id in wanted}),
    )
    standing: dict[DocKey, list[Standing]] = {}
    for row in found:
        document = (row.document_kind, row.document_id)
        if row.place is not None and document in wanted:
            standing.setdefault(document, []).append(_standing(row))
    return standing


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A pay line by its id: its document, and where it is (None: replaced)."""

    pay_line_id: int
    document: DocKey
    place: Place | None
    standing: Standing


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
            row.pay_line_id, (row.document_kind, row.document_id), row.place, _standing(row)
        )
        for row in found
    }


def _standing(row: Any) -> Standing:
    line = RealizationLine.model_construct(
        **{name: getattr(row, name) for name in RealizationLine.model_fields}
    )
    spot = (
        None
        if row.invoice_id is None
        else Spot(row.invoice_id, row.line_no, row.invoice_number or "")
    )
    corrects = (
        None if row.corrects_invoice_id is None else (row.corrects_invoice_id, row.corrects_line_no)
    )
    return Standing(row.pay_line_id, row.place or "open", line, spot, corrects)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A line that gives up its place to a later statement."""

    standing: Standing
    by_statement: int


async def replace_lines(connection: AsyncConnection, lines: Sequence[Replaced]) -> None:
    """Moves lines out of the open ones, or off their draft."""
    if not lines:
        return
    in_order = sorted(lines, key=lambda one: one.standing.pay_line_id)
    for place, table in (("open", "open_line"), ("draft", "draft_line")):
        part = [one.standing for one in in_order if one.standing.place == place]
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
        "INSERT INTO invoicer.replaced_line (pay_line_id, replaced_by)"
        " SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:by AS integer[])) AS r(id, replaced_by) ORDER BY id",
        ids=[one.standing.pay_line_id for one in in_order],
        by=[one.by_statement for one in in_order],
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
