"""Closed documents as the invoicer's views show them, and the mapping of a ledger: what a request is made from."""

from collections.abc import Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.rules.documents import Corrected
from services.arg_sync.rules.mapping import Codes, SoldLine
from shared.database import rows, run
from shared.money import rounded
from shared.stored import HEAD_COLUMNS, LINE_COLUMNS, closed_document, closed_line
from shared.terms import ClosedDocument

HEADS = f"""
SELECT {", ".join(HEAD_COLUMNS)}
FROM invoicer.closed_invoice WHERE invoice_id = ANY(CAST(:ids AS bigint[]))"""
LINES = f"""
SELECT {", ".join(LINE_COLUMNS)}, item_id
FROM invoicer.closed_invoice_line WHERE invoice_id = ANY(CAST(:ids AS bigint[])) ORDER BY invoice_id, line_no"""


async def documents_for(
    connection: AsyncConnection, invoice_ids: Sequence[int]
) -> dict[int, ClosedDocument]:
    """The heads of closed documents."""
    found = await rows(connection, HEADS, ids=list(invoice_ids))
    return {
        row.invoice_id: closed_document(row._mapping, (), rounded) for row in found
    }  # what they correct is in `corrected_by`


async def lines_for(
    connection: AsyncConnection, documents: Iterable[ClosedDocument]
) -> dict[int, list[SoldLine]]:
    """The lines of documents."""
    currencies = {document.invoice_id: document.currency for document in documents}
    found: dict[int, list[SoldLine]] = {an_id: [] for an_id in currencies}
    for row in await rows(connection, LINES, ids=list(currencies)):
        *line, item = row
        found[row.invoice_id].append(
            SoldLine(closed_line(line, currencies[row.invoice_id], rounded), item or "")
        )
    return found


async def corrected_by(
    connection: AsyncConnection, ledger: str, invoice_id: int
) -> list[Corrected]:
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
    found = await rows(
        connection,
        "SELECT what, code, remote FROM arg_sync.mapping WHERE ledger = :ledger",
        ledger=ledger,
    )
    return {(row.what, row.code): row.remote for row in found}


async def put_mapping(
    connection: AsyncConnection, ledger: str, mapped: Sequence[tuple[str, str, str]], actor: str
) -> None:
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
