"""Credits by hand: the closed document to credit, its credit lines for closing, and write-offs.

A credit note closes like the documents of a batch: `invoices.store.closing` reads the temporary
tables `selected_line` and `line_location`, and `line_allowance` if there are allowances, which are
filled here with the lines of one credit note.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.credits.rules import (
    GROUP_NO,
    IssuedDocument,
    IssuedLine,
    LineCredit,
    LineKey,
)
from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.invoices.rules.documents import GroupOption
from services.invoicer.lines.rules import DocKey, QuantityAmount
from services.invoicer.lines.store.lines import realized_line
from shared.database import insert_rows, rows, run
from shared.sql import named_queries
from shared.stored import as_json

UNDONE = " undone: "
"""Begins the id of a row that takes a write-off back. No command's id begins with a space."""
_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))


async def issued_for(
    connection: AsyncConnection, billing_company: str, invoice_numbers: Collection[str]
) -> dict[str, IssuedDocument]:
    """Return the heads of closed documents by number."""
    query = """
        SELECT invoice_id, invoice_number, document_type, account_name, currency,
          tax_regime, tax_wording, payment_terms, po_number, invoice_date, cut_off_date, total,
          invoice_option
        FROM invoicer.invoice
        WHERE billing_company = :company AND invoice_number = ANY(CAST(:numbers AS text[]))"""
    numbers = sorted(invoice_numbers)
    return {
        head.invoice_number: IssuedDocument._make(
            [
                *(*head[:5], DocumentTerms(*head[5:8]), *head[8:-1]),
                head.invoice_option and GroupOption.of(as_json(head.invoice_option)),
            ]
        )
        for head in await rows(connection, query, company=billing_company, numbers=numbers)
    }


async def documents_of(connection: AsyncConnection, invoice_id: int) -> set[DocKey]:
    """Return the source documents of the lines of a closed document: they never change.

    The line of an MSP fee has none.
    """
    query = """
        SELECT DISTINCT p.document_kind, p.document_id
        FROM invoicer.invoice_line l JOIN invoicer.pay_line p USING (pay_line_id)
        WHERE l.invoice_id = :id AND p.document_kind <> 'fee'"""
    return {(kind, an_id) for kind, an_id in await rows(connection, query, id=invoice_id)}


async def issued_lines(
    connection: AsyncConnection, invoice_ids: Iterable[int]
) -> dict[int, list[IssuedLine]]:
    """Return the lines of closed documents with their credits; to be read under the locks."""
    found: dict[int, list[IssuedLine]] = {}
    for row in await rows(connection, _QUERIES["issued_lines"], ids=sorted(invoice_ids)):
        line = IssuedLine(
            line_no=row.line_no,
            document=(row.document_kind, row.document_id),
            realized=realized_line(row),
            is_credit=row.corrects_invoice_id is not None,
            node=row.debtor_node,
            level=row.billto_level,
            tax_code=row.invoiced_tax_code,
            tax_rate=row.tax_rate,
            tax=row.tax_amount,
            credited=QuantityAmount(row.credited_quantity, row.credited_amount),
            tax_credited=row.credited_tax,
            allowance=row.allowance_amount,
            allowance_credited=row.credited_allowance,
        )
        found.setdefault(row.invoice_id, []).append(line)
    return found


async def add_line_locations(
    connection: AsyncConnection, nodes: Sequence[str], levels: Sequence[int]
) -> None:
    """Fill `line_location` with the debtor nodes of lines and their levels."""
    await run(connection, _QUERIES["line_locations"], nodes=nodes, levels=levels)


async def select_credit_lines(
    connection: AsyncConnection,
    issued: IssuedDocument,
    credits: Sequence[LineCredit],
    command_id: str,
) -> None:
    """Fill the temporary tables that closing reads with the credits, which are open lines now."""
    nodes, levels = [each.of.node for each in credits], [each.of.level for each in credits]
    await add_line_locations(connection, nodes, levels)
    selected = await run(
        connection,
        _QUERIES["selected_lines"],
        group_no=GROUP_NO,
        id=issued.invoice_id,
        invoice_number=issued.invoice_number,
        command_id=command_id,
        corrected=[each.of.line_no for each in credits],
        nodes=nodes,
        levels=levels,
        codes=[each.of.tax_code for each in credits],
        rates=[each.of.tax_rate for each in credits],
        taxes=[each.tax for each in credits],
    )
    if selected != len(credits):
        raise AssertionError(f"{selected} lines selected for {len(credits)} credits")
    if any(each.allowance for each in credits):
        shares = [each.allowance for each in credits]
        await run(connection, _QUERIES["line_allowances"], shares=shares)


async def add_write_offs(
    connection: AsyncConnection,
    written_off: Mapping[LineKey, QuantityAmount],
    *,
    command_id: str,
    actor: str,
    reason: str,
) -> None:
    """Store what a command writes off, as values above zero."""
    await insert_rows(
        connection,
        "invoicer.write_off",
        "document_kind text, document_id text, line_key text, command_id text, quantity numeric,"
        " amount numeric, actor text, reason text",
        [
            (*key, command_id, value.quantity, value.amount, actor, reason)
            for key, value in sorted(written_off.items(), key=lambda item: item[0])
        ],
    )


async def undo_write_offs(
    connection: AsyncConnection, invoice_id: int, *, actor: str, reason: str
) -> dict[DocKey, Decimal]:
    """Take back the write-offs on a closed document, each once, by rows with the opposite values.

    Returns the amount by source document.
    """
    undone: dict[DocKey, Decimal] = {}
    for kind, document_id, amount in await rows(
        connection,
        _QUERIES["undo_write_offs"],
        id=invoice_id,
        undone=UNDONE,
        actor=actor,
        reason=reason,
    ):
        undone[kind, document_id] = undone.get((kind, document_id), Decimal(0)) - amount
    return undone
