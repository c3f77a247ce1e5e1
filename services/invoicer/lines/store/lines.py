"""Pay lines: inserted once and never changed, with one narrow table per location of a line.

The locations are open, draft, invoiced and replaced. All queries work on sets of rows: many
documents cost the same few queries as one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from math import ceil
from operator import attrgetter
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.lines.rules import DocKey, InvoicedLine, LineLocation, NewLine, PayLine
from shared.database import columns, insert_rows, joined, kinds_of, rows, run, unnested
from shared.events.realizations import LineEngagement, RealizationLine
from shared.money import plain
from shared.stored import as_json

HOUR = "HUR"

_REALIZED = kinds_of(
    "billing_company text, line_key text, line_kind text, quantity numeric, unit text,"
    " unit_price numeric, amount numeric, currency text, effective_date date, service_from date,"
    " service_to date, week_ending date, billto_node text, requirement_id text, worker_id text,"
    " time_type text, item_id text, project text, cost_center text, po_number text, tax_code text,"
    " tax_date date, rate_version text, rate_book integer, description text, engagement jsonb,"
    " derivation jsonb"
)
"""The columns of a pay line that are fields of a realization's line."""
_PAY_LINE = _REALIZED | kinds_of(
    "document_kind text, document_id text, realization_no integer, day_minutes integer,"
    " announce_when_due boolean, corrects_invoice_id bigint, corrects_line_no integer,"
    " opened_on date"
)
_ENCODERS: dict[str, Callable[[Any], str]] = {
    "numeric": plain,
    "date": date.isoformat,
    "integer": str,
    "jsonb": lambda value: to_json(value).decode(),
}
_NAMES = ", ".join(_PAY_LINE)
_ADD = f"""
WITH inserted AS (
  INSERT INTO invoicer.pay_line ({_NAMES}, accounting_period)
  SELECT {_NAMES},
    extract(year FROM effective_date)::int * 100 + extract(month FROM effective_date)::int
  FROM unnest({columns(_PAY_LINE)}) WITH ORDINALITY AS n({_NAMES}, line_order)
  WHERE document_id IS NOT NULL ORDER BY line_order
  RETURNING billing_company, pay_line_id, effective_date, week_ending, billto_node)
INSERT INTO invoicer.open_line
  (billing_company, pay_line_id, effective_date, week_ending, billto_node, correction)
SELECT billing_company, pay_line_id, effective_date, week_ending, billto_node,
  CAST(:correction AS boolean)
FROM inserted"""

_LOCATED = f"""
SELECT p.pay_line_id, p.document_kind, p.document_id, p.corrects_invoice_id, p.corrects_line_no,
  {", ".join(f"p.{name}" for name in _REALIZED)}, il.invoice_id, il.line_no, i.invoice_number,
  CASE WHEN o.pay_line_id IS NOT NULL THEN 'open' WHEN d.pay_line_id IS NOT NULL THEN 'draft'
    WHEN il.pay_line_id IS NOT NULL THEN 'invoiced' END AS location
FROM invoicer.pay_line p
LEFT JOIN invoicer.open_line o
  ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.draft_line d ON d.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice_line il ON il.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice i ON i.invoice_id = il.invoice_id
"""
"""Pay lines with their location; it is NULL for a replaced line."""


_LINES = unnested("billing_company text, pay_line_id bigint")
_SAME_LINE = "t.billing_company = s.billing_company AND t.pay_line_id = s.pay_line_id"
_REMOVE_OPEN = f"DELETE FROM invoicer.open_line t USING {_LINES} WHERE {_SAME_LINE}"
_REMOVE_DRAFTED = f"""
WITH gone AS (
  DELETE FROM invoicer.draft_line t USING {_LINES} WHERE {_SAME_LINE}
  RETURNING t.pay_line_id, t.draft_id, t.line_no, t.billto_node, t.billto_level)
INSERT INTO invoicer.replaced_draft_line
  (pay_line_id, draft_id, line_no, billto_node, billto_level)
SELECT pay_line_id, draft_id, line_no, billto_node, billto_level FROM gone"""


class OpenedLine(NamedTuple):
    """A line to open, with its document and the realization that opens it."""

    document: DocKey
    realization_no: int
    new: NewLine


async def add_lines(
    connection: AsyncConnection,
    lines: Sequence[OpenedLine],
    announce: Callable[[RealizationLine], bool],
    today: Mapping[str, date],
) -> None:
    """Open lines in the order given, on the day `today` of their billing company.

    Corrections of invoiced lines are marked: a batch takes them whatever their week. `announce`
    decides whether the scheduler announces a line when it is due.
    """
    for correction in (False, True):
        part = [opened for opened in lines if opened.new.correction is correction]
        if part:
            await run(connection, _ADD, correction=correction, **_columns(part, announce, today))


def _columns(
    lines: Sequence[OpenedLine],
    announce: Callable[[RealizationLine], bool],
    today: Mapping[str, date],
) -> dict[str, str]:
    realized = [opened.new.realized for opened in lines]
    corrects = [opened.new.corrects for opened in lines]
    return {name: _column(realized, name, kind) for name, kind in _REALIZED.items()} | {
        "document_kind": joined([opened.document[0] for opened in lines]),
        "document_id": joined([opened.document[1] for opened in lines]),
        "realization_no": joined([str(opened.realization_no) for opened in lines]),
        "day_minutes": joined([str(most_minutes(line)) for line in realized]),
        "announce_when_due": joined([str(announce(line)) for line in realized]),
        "corrects_invoice_id": joined([key and str(key[0]) for key in corrects]),
        "corrects_line_no": joined([key and str(key[1]) for key in corrects]),
        "opened_on": joined([str(today[line.billing_company]) for line in realized]),
    }


def _column(lines: Sequence[RealizationLine], name: str, kind: str) -> str:
    values, encode = map(attrgetter(name), lines), _ENCODERS.get(kind)
    return joined(values if encode is None else [None if x is None else encode(x) for x in values])


def most_minutes(line: RealizationLine) -> int:
    """Return the most time that the line has on one work day, in minutes, rounded up.

    A line that is counted in days or pieces has none.
    """
    hours = line.derivation.get("hours") if line.unit == HOUR else None
    return ceil(max(map(Decimal, hours.values())) * 60) if hours else 0


async def companies_of(connection: AsyncConnection, documents: Iterable[DocKey]) -> set[str]:
    """Return the billing companies of all lines that documents ever had."""
    query = """
        SELECT DISTINCT billing_company FROM invoicer.pay_line
        WHERE document_id = ANY(CAST(:ids AS text[]))"""
    ids = sorted({document_id for _, document_id in documents})
    return {row[0] for row in await rows(connection, query, ids=ids)} if ids else set()


async def pay_lines_for(
    connection: AsyncConnection, documents: Iterable[DocKey]
) -> dict[DocKey, list[PayLine]]:
    """Return the open, drafted and invoiced lines of documents, in the order of their creation."""
    wanted = set(documents)
    query = _LOCATED + "WHERE p.document_id = ANY(CAST(:ids AS text[])) ORDER BY p.pay_line_id"
    pay_lines: dict[DocKey, list[PayLine]] = {}
    for row in await rows(connection, query, ids=sorted({an_id for _, an_id in wanted})):
        document = (row.document_kind, row.document_id)
        if row.location is not None and document in wanted:
            pay_lines.setdefault(document, []).append(_pay_line(row))
    return pay_lines


class FoundLine(NamedTuple):
    """A pay line found by its id: its document, and its location (None: replaced)."""

    pay_line_id: int
    document: DocKey
    location: LineLocation | None
    pay_line: PayLine


async def lines_by_id(
    connection: AsyncConnection, pay_line_ids: Iterable[int]
) -> dict[int, FoundLine]:
    """Return the named pay lines, whatever their location."""
    query = _LOCATED + "WHERE p.pay_line_id = ANY(CAST(:ids AS bigint[]))"
    return {
        row.pay_line_id: FoundLine(
            row.pay_line_id, (row.document_kind, row.document_id), row.location, _pay_line(row)
        )
        for row in await rows(connection, query, ids=sorted(set(pay_line_ids)))
    }


def realized_line(row: Any) -> RealizationLine:
    """Return the realization's line of a row with the columns of a pay line."""
    values = {name: getattr(row, name) for name in _REALIZED}
    if row.engagement is not None:
        values["engagement"] = LineEngagement.model_validate(as_json(row.engagement))
    return RealizationLine.model_construct(**values)


def _pay_line(row: Any) -> PayLine:
    number = row.invoice_number or ""
    return PayLine(
        row.pay_line_id,
        row.location or "open",
        realized_line(row),
        row.invoice_id and InvoicedLine(row.invoice_id, row.line_no, number),
        row.corrects_invoice_id and (row.corrects_invoice_id, row.corrects_line_no),
    )


class ReplacedLine(NamedTuple):
    """A line that a later realization replaces."""

    pay_line: PayLine
    by_realization: int


async def replace_lines(
    connection: AsyncConnection, lines: Sequence[ReplacedLine], today: Mapping[str, date]
) -> None:
    """Move lines from the open ones, or from their draft, to the replaced ones.

    `replaced_draft_line` keeps the place on the draft for the successors.

    `today`: the day of each billing company, on which its lines are replaced.
    """
    in_order = sorted(lines, key=lambda replaced: replaced.pay_line.pay_line_id)
    for location, query in (("open", _REMOVE_OPEN), ("draft", _REMOVE_DRAFTED)):
        part = [line for line, _ in in_order if line.location == location]
        if part:
            await run(
                connection,
                query,
                billing_company=[line.realized.billing_company for line in part],
                pay_line_id=[line.pay_line_id for line in part],
            )
    await insert_rows(
        connection,
        "invoicer.replaced_line",
        "pay_line_id bigint, replaced_by_realization integer, replaced_on date",
        [
            (line.pay_line_id, by_realization, today[line.realized.billing_company])
            for line, by_realization in in_order
        ],
    )


async def company_days(
    connection: AsyncConnection, companies: Iterable[str]
) -> dict[str, tuple[str, date | None]]:
    """Return the time zone (UTC if unknown) and the watermark of companies.

    To be read under the lock of the companies.
    """
    query = """
        SELECT c.billing_company, coalesce(k.time_zone, 'UTC') AS time_zone, w.to_date
        FROM unnest(CAST(:companies AS text[])) AS c(billing_company)
        LEFT JOIN fee_realizer.billing_company_settings k USING (billing_company)
        LEFT JOIN scheduler.due_watermark w USING (billing_company)"""
    found = await rows(connection, query, companies=sorted(set(companies)))
    return {row.billing_company: (row.time_zone, row.to_date) for row in found}
