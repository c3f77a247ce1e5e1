"""What the tests of settlement share.

Realizations are consumed through the protocol, the result is read from the tables, and open lines
are put on a closed document directly (as the owner), so that these tests need no batch.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.invoicer.debtors.handlers import billto
from services.invoicer.settlement.handlers import pay_lines as lines
from services.invoicer.settlement.handlers import realizations as statements
from shared.broker.topics import BILLTO_CHANGED, OPERATOR_COMMANDS, PAY_LINES_REALIZED
from shared.consumer.commands import Answer, CommandDispatcher
from shared.consumer.unit_of_work import UnitOfWork
from shared.events.ats import BilltoChanged
from shared.events.realizations import PayLinesRealized
from shared.verify import verify
from tests.builders import COMPANY, command, record
from tests.conftest import EngineOf, UnitOfWorkFor, process

Place = tuple[str, str, str, str]
"""Document, quantity, amount, where the line is."""

ABOUT_LINES = {
    "conservation",
    "one_place",
    "withheld",
    "open_copy",
    "line_amount",
    "minor_unit",
    "credits",
}

CONSERVATION = """
WITH head AS (
  SELECT document_kind, document_id, realization_kind,
    CASE WHEN body = '' THEN '{}' ELSE body END::jsonb AS body
  FROM invoicer.settled_document),
addend AS (
  SELECT h.document_kind, h.document_id, l ->> 'line_key' AS line_key,
    (l ->> 'quantity')::numeric AS quantity, (l ->> 'amount')::numeric AS amount
  FROM head h, jsonb_array_elements(h.body -> 'lines') AS l
  UNION ALL
  SELECT document_kind, document_id, line_key, quantity_difference, amount_difference
  FROM invoicer.operator_edit),
target AS (
  SELECT document_kind, document_id, line_key, sum(quantity) AS quantity, sum(amount) AS amount
  FROM addend GROUP BY 1, 2, 3),
placed AS (
  SELECT p.document_kind, p.document_id, p.line_key,
    sum(p.quantity) AS quantity, sum(p.amount) AS amount,
    coalesce(sum(p.quantity) FILTER (WHERE i.pay_line_id IS NOT NULL), 0) AS billed_quantity,
    coalesce(sum(p.amount) FILTER (WHERE i.pay_line_id IS NOT NULL), 0) AS billed_amount
  FROM invoicer.pay_line p LEFT JOIN invoicer.invoice_line i USING (pay_line_id)
  WHERE NOT EXISTS (SELECT FROM invoicer.replaced_line r WHERE r.pay_line_id = p.pay_line_id)
  GROUP BY 1, 2, 3),
off AS (
  SELECT document_kind, document_id, line_key, sum(quantity) AS quantity, sum(amount) AS amount
  FROM invoicer.write_off GROUP BY 1, 2, 3)
SELECT document_id, line_key
FROM target FULL JOIN placed USING (document_kind, document_id, line_key)
LEFT JOIN off USING (document_kind, document_id, line_key)
JOIN head USING (document_kind, document_id)
WHERE realization_kind = 'realized' AND (
  coalesce(target.quantity, 0) <> coalesce(placed.quantity, 0) + greatest(0, least(
    coalesce(off.quantity, 0), coalesce(target.quantity, 0) - coalesce(billed_quantity, 0)))
  OR coalesce(target.amount, 0) <> coalesce(placed.amount, 0) + greatest(0, least(
    coalesce(off.amount, 0), coalesce(target.amount, 0) - coalesce(billed_amount, 0))))
"""


@dataclass
class Invoicer:
    """The invoicer's subscriptions on the database of one test."""

    unit_of_work: UnitOfWork
    owner: Callable[..., Awaitable[Any]]
    dispatcher: CommandDispatcher
    console: AsyncEngine

    async def consume(self, *realizations: PayLinesRealized) -> None:
        """Consumes a batch of realizations."""
        await process(
            self.unit_of_work,
            statements.SUBSCRIPTION,
            [record(PAY_LINES_REALIZED.name, said, said.document_id) for said in realizations],
        )

    async def consume_nodes(self, *nodes: BilltoChanged | str) -> None:
        """Consumes a batch of billto nodes; a bare id is a tombstone."""
        await process(self.unit_of_work, billto.SUBSCRIPTION, [_node_record(one) for one in nodes])

    async def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """Sends a command and returns its published answer."""
        asked = command(kind, **{"billing_company": COMPANY, **values})
        await process(
            self.unit_of_work,
            self.dispatcher.subscription(),
            [record(OPERATOR_COMMANDS.name, asked, COMPANY)],
        )
        answer: dict[str, Any] = json.loads(self.unit_of_work.producer.published[-1].value)  # type: ignore[attr-defined]
        return answer

    async def places(self, document_id: str = "T-1") -> list[Place]:
        """All lines of a document with their locations, in the order of their creation."""
        found = await self.rows(
            "SELECT p.document_id, trim_scale(p.quantity) AS q, trim_scale(p.amount) AS a,"
            " array_to_string(ARRAY["
            " CASE WHEN o.pay_line_id IS NOT NULL THEN 'open' END, CASE WHEN d.pay_line_id IS NOT"
            " NULL THEN 'draft' END,"
            " CASE WHEN i.pay_line_id IS NOT NULL THEN 'invoiced' END, CASE WHEN r.pay_line_id IS"
            " NOT NULL THEN 'replaced' END], '+') AS place"
            " FROM invoicer.pay_line p LEFT JOIN invoicer.open_line o USING (pay_line_id) LEFT"
            " JOIN invoicer.draft_line d USING (pay_line_id)"
            " LEFT JOIN invoicer.invoice_line i USING (pay_line_id) LEFT JOIN"
            " invoicer.replaced_line r USING (pay_line_id)"
            " WHERE p.document_id = :id ORDER BY p.pay_line_id",
            id=document_id,
        )
        return [(row.document_id, str(row.q), str(row.a), row.place) for row in found]

    async def open(self, document_id: str = "T-1") -> list[tuple[str, str]]:
        """Quantity and amount of the open lines of a document."""
        return [
            (quantity, amount)
            for _, quantity, amount, place in await self.places(document_id)
            if place == "open"
        ]

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """Reads as the owner."""
        return await self.owner(statement, **values)  # type: ignore[no-any-return]

    async def check(self) -> None:
        """Checks conservation and that each line has one location, by SQL and by `verify`."""
        assert await self.rows(CONSERVATION) == []
        async with self.console.connect() as connection:
            report = await verify(connection)
        assert [fault for fault in report.faults if fault.check in ABOUT_LINES] == []
        everywhere = await self.rows("SELECT DISTINCT document_id FROM invoicer.pay_line")
        for row in everywhere:
            assert all(
                place in ("open", "draft", "invoiced", "replaced")
                for *_, place in await self.places(row.document_id)
            )

    async def invoice(self, document_id: str = "T-1") -> int:
        """Closes the open lines of a document on an invoice of its own; the invoice's id."""
        number = len(await self.rows("SELECT 1 FROM invoicer.invoice")) + 1
        found = await self.rows(_INVOICE, document=document_id, number=number, company=COMPANY)
        return int(found[0].invoice_id)


_INVOICE = """
WITH taken AS (
  DELETE FROM invoicer.open_line o USING invoicer.pay_line p
  WHERE p.pay_line_id = o.pay_line_id AND p.document_id = :document
  RETURNING p.pay_line_id, p.billto_node, p.tax_code, p.amount),
batched AS (
  INSERT INTO invoicer.batch
  VALUES ('B-' || CAST(:number AS integer), CAST(:company AS text),
    'c-batch-' || CAST(:number AS integer), '2026-03-31', '2026-03-31', '1', '1', 1, 1, '[]',
    'pat', '', now())),
closed AS (
  INSERT INTO invoicer.invoice (billing_company, batch_id, series, number, invoice_number,
    document_type, account_name, currency, payment_terms, po_number, tax_regime, tax_wording,
    tax_basis, invoice_date, due_date, cut_off_date, service_from, service_to, net, tax, total,
    line_count, tax_totals, seller, buyer, closed_at)
  SELECT CAST(:company AS text), 'B-' || CAST(:number AS integer), 'INV-',
    CAST(:number AS integer), 'INV-' || CAST(:number AS integer),
    'invoice', 'A', 'USD', 'net:30', '', 'standard', '', 'line',
    '2026-03-31', '2026-04-30', '2026-03-31', '2026-03-31', '2026-03-31', sum(amount), 0,
    sum(amount), count(*), '[]', '{}', '{}', now()
  FROM taken
  RETURNING invoice_id),
sealed AS (INSERT INTO invoicer.invoice_seal SELECT invoice_id, 'by hand' FROM closed)
INSERT INTO invoicer.invoice_line
SELECT invoice_id, row_number() OVER (ORDER BY pay_line_id), pay_line_id, billto_node, 3, tax_code,
  0, 0
FROM taken, closed
RETURNING invoice_id
"""


def invoicer(unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf) -> Invoicer:
    """The invoicer of a test."""

    async def owner(statement: str, **values: Any) -> list[Any]:
        async with engine_of("owner").begin() as connection:
            found = await connection.execute(text(statement), values)
            return list(found.all()) if found.returns_rows else []

    async def no_republish(connection: AsyncConnection, asked: Any) -> Answer:
        raise NotImplementedError

    dispatcher = CommandDispatcher("invoicer", lines.HANDLERS, dict, no_republish)
    return Invoicer(unit_of_work_for("invoicer"), owner, dispatcher, engine_of("auditor"))


def _node_record(one: BilltoChanged | str) -> Any:
    return (
        record(BILLTO_CHANGED.name, None, one)
        if isinstance(one, str)
        else record(BILLTO_CHANGED.name, one, one.node_id)
    )
