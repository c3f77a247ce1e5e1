"""What opening data reads and writes: documents loaded before, their lines for closing, payments.

A loaded document closes like those of a batch: `invoices.store.closing` reads the temporary tables
`selected_line` and `line_location`, and `line_allowance` if there are allowances, which are filled
here.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.credits import store as credits
from services.invoicer.lines.rules import DocKey
from services.invoicer.opening.rules.documents import (
    DebtorNode,
    Loaded,
    OpeningPayment,
    PreparedDocument,
)
from shared.database import insert_rows, rows, run, unnested
from shared.events.commands import OpeningDocument
from shared.sql import named_queries

LEDGER = "opening"
"""The ledger and id of payments that were made before; no connection may have this name."""
_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
_LINES = (
    "group_no bigint, line_no integer, document_kind text, document_id text, number text,"
    " own_line text, node text, level integer, code text, rate numeric, tax numeric, corrects text"
)


async def loaded_documents(
    connection: AsyncConnection, billing_company: str, numbers: Sequence[str]
) -> dict[str, Loaded]:
    """Return the closed documents that have one of these numbers."""
    found = await rows(
        connection,
        _QUERIES["loaded_documents"],
        company=billing_company,
        numbers=list(numbers),
        ledger=LEDGER,
    )
    return {number: Loaded(*values) for number, *values in found}


async def companies_of(
    connection: AsyncConnection, billing_company: str, documents: Iterable[OpeningDocument]
) -> set[str]:
    """Return the billing companies of all lines that the source documents of these ever had."""
    lines = [line for each in documents for line in each.lines]
    found = await rows(
        connection,
        _QUERIES["companies_of"],
        company=billing_company,
        ids=sorted({line.document_id for line in lines if line.document_id}),
        corrected=sorted({line.corrects_invoice for line in lines if line.corrects_invoice}),
    )
    return {row[0] for row in found}


async def debtor_nodes(
    connection: AsyncConnection, account_names: Iterable[str]
) -> dict[str, DebtorNode]:
    """Return the node of each Account Name; of several nodes, the one with the lowest id."""
    query = """
        SELECT DISTINCT ON (account_name) account_name, node_id, level
        FROM invoicer.billto_node WHERE account_name = ANY(CAST(:names AS text[]))
        ORDER BY account_name, node_id COLLATE "C" """
    found = await rows(connection, query, names=sorted(set(account_names)))
    return {name: DebtorNode(*node) for name, *node in found}


async def invoiced_by_batches(
    connection: AsyncConnection, documents: Iterable[DocKey]
) -> list[tuple[str, str]]:
    """Return those of the source documents that batches invoiced, each with an invoice number."""
    keys = sorted(set(documents))
    found = await rows(
        connection,
        "SELECT p.document_id, min(i.invoice_number) AS number FROM invoicer.pay_line p"
        f" JOIN {unnested('document_kind text, document_id text')}"
        " USING (document_kind, document_id)"
        " JOIN invoicer.invoice_line l USING (pay_line_id)"
        " JOIN invoicer.invoice i USING (invoice_id)"
        " WHERE NOT i.is_opening GROUP BY p.document_id ORDER BY 1",
        document_kind=[kind for kind, _ in keys],
        document_id=[document_id for _, document_id in keys],
    )
    return [(row.document_id, row.number) for row in found]


async def select_lines(connection: AsyncConnection, prepared: Sequence[PreparedDocument]) -> None:
    """Fill the temporary tables that closing reads with the lines, which are open now."""
    lines = [
        (each.document.group.group_no, each.opening, line)
        for each in prepared
        for line in each.lines
    ]
    nodes = [line.node.node_id for *_, line in lines]
    levels = [line.node.level for *_, line in lines]
    await credits.add_line_locations(connection, nodes, levels)
    selected = await run(
        connection,
        _QUERIES["selected_lines"].replace("{lines}", unnested(_LINES)),
        group_no=[group_no for group_no, *_ in lines],
        line_no=[line.line_no for *_, line in lines],
        document_kind=[line.document[0] for *_, line in lines],
        document_id=[line.document[1] for *_, line in lines],
        number=[opening.invoice_number for _, opening, _ in lines],
        own_line=[str(line.line_no) for *_, line in lines],
        node=nodes,
        level=levels,
        code=[line.tax_code for *_, line in lines],
        rate=[line.tax_rate for *_, line in lines],
        tax=[line.tax for *_, line in lines],
        corrects=[line.corrects_invoice for *_, line in lines],
    )
    if selected != len(lines):
        raise AssertionError(f"{selected} lines selected of {len(lines)} opening lines")
    shares = [(group_no, line) for group_no, _, line in lines if line.allowance]
    if shares:
        await run(
            connection,
            _QUERIES["line_allowances"],
            group_no=[group_no for group_no, _ in shares],
            line_no=[line.line_no for _, line in shares],
            shares=[line.allowance for _, line in shares],
        )


async def add_payments(connection: AsyncConnection, payments: Sequence[OpeningPayment]) -> None:
    """Add what is paid of documents."""
    await insert_rows(
        connection,
        "invoicer.payment",
        "invoice_id bigint, entry_no integer, amount numeric, currency text, paid_on date,"
        " ledger text, payment_id text, remote_id text",
        [(*payment, LEDGER, LEDGER, "") for payment in payments],
    )
