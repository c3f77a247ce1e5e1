"""What is on file about a document or a line that is not billed: where its lines are, what holds it, who snoozed it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows

STATE_SQL = """
SELECT d.document_kind, d.document_id, d.hold_code, d.hold_message, d.realization_no, coalesce(s.realization_no, 0) AS settled_no, s.realization_kind,
       s.stale_realization_no
FROM fee_realizer.document_state d
LEFT JOIN invoicer.settled_document s ON s.document_kind = d.document_kind AND s.document_id = d.document_id
WHERE d.document_id = :id OR d.source_id = :id
UNION ALL
SELECT s.document_kind, s.document_id, NULL, NULL, s.realization_no, s.realization_no, s.realization_kind, s.stale_realization_no
FROM invoicer.settled_document s
WHERE s.document_id = :id AND s.realization_no > 0
  AND NOT EXISTS (SELECT FROM fee_realizer.document_state d WHERE d.document_kind = s.document_kind AND d.document_id = s.document_id)
ORDER BY document_kind DESC, document_id"""

LINES_SQL = """
SELECT p.pay_line_id, p.billing_company, p.document_kind, p.document_id, p.realization_no, p.line_key, p.description, p.effective_date, p.week_ending,
       p.billto_node, p.tax_code, p.currency, o.pay_line_id IS NOT NULL AS open, r.replaced_by_realization, i.invoice_number, i.invoice_date
FROM invoicer.pay_line p
LEFT JOIN invoicer.open_line o ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.replaced_line r ON r.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice_line l ON l.pay_line_id = p.pay_line_id
LEFT JOIN invoicer.invoice i ON i.invoice_id = l.invoice_id
WHERE {which} ORDER BY p.pay_line_id"""


async def states_of(connection: AsyncConnection, document_id: str) -> list[Any]:
    """Where a document stands: its hold, its latest statement and the settled one. `document_id` may be an adjustment in force."""
    return await rows(connection, STATE_SQL, id=document_id)


async def lines_of_document(
    connection: AsyncConnection, document_kind: str, document_id: str
) -> list[Any]:
    """All lines of a document, with the place of each."""
    return await rows(
        connection,
        LINES_SQL.format(which="p.document_id = :id AND p.document_kind = :kind"),
        id=document_id,
        kind=document_kind,
    )


async def line_of(connection: AsyncConnection, pay_line_id: int) -> Any | None:
    """One line, with its place."""
    found = await rows(connection, LINES_SQL.format(which="p.pay_line_id = :id"), id=pay_line_id)
    return found[0] if found else None


async def reasons_of(
    connection: AsyncConnection, pay_line_ids: Sequence[int]
) -> dict[int, tuple[int, int]]:
    """What the selection says of open lines: the number of the reason, 0 for in; and of whom, by the number of the debtor, 0 for nobody."""
    query = "SELECT pay_line_id, exclusion_reason, debtor_no FROM selected_line WHERE pay_line_id = ANY(CAST(:ids AS bigint[]))"
    return {
        row.pay_line_id: (row.exclusion_reason, row.debtor_no)
        for row in await rows(connection, query, ids=list(pay_line_ids))
    }


async def edited_away(
    connection: AsyncConnection, document_kind: str, document_id: str
) -> Any | None:
    """The last edit of a document by an operator that still counts, and the last line of its key; None if there is none."""
    query = """
        SELECT e.actor, e.reason, (SELECT max(p.pay_line_id) FROM invoicer.pay_line p WHERE p.document_kind = e.document_kind
                                   AND p.document_id = e.document_id AND p.line_key = e.line_key) AS pay_line_id
        FROM invoicer.operator_edit e
        WHERE e.document_kind = :kind AND e.document_id = :id AND e.line_key IN (
          SELECT s.line_key FROM invoicer.operator_edit s WHERE s.document_kind = :kind AND s.document_id = :id
          GROUP BY s.line_key HAVING sum(s.quantity_difference) <> 0 OR sum(s.amount_difference) <> 0)
        ORDER BY e.edited_at DESC, e.command_id DESC LIMIT 1"""
    found = await rows(connection, query, kind=document_kind, id=document_id)
    return found[0] if found else None


async def snooze_of(connection: AsyncConnection, line: Any) -> Any | None:
    """The snooze of a line's key: text, who, when, until."""
    query = """
        SELECT reason, actor, snoozed_at, until_date FROM invoicer.snooze
        WHERE document_kind = :kind AND document_id = :id AND line_key = :key"""
    found = await rows(
        connection, query, kind=line.document_kind, id=line.document_id, key=line.line_key
    )
    return found[0] if found else None
