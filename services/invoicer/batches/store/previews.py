"""Stores previews: what a batch would close, by document and by line.

A later batch that cites the digest of a preview is compared with it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.digest import PreviewDocument
from services.invoicer.batches.rules.health_snapshot import MOST_IDS
from services.invoicer.batches.rules.reasons import REASONS
from services.invoicer.invoices.rules.documents import Document
from shared.clock import now
from shared.database import columns, joined_rows, kinds_of, rows, run
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_name("previews.sql"))
_DOCUMENT = kinds_of(
    "document_no integer, account_name text, document_type text, currency text, payment_terms "
    "text, po_number text, tax_regime text, line_count integer, net numeric, tax numeric, "
    "line_hash text, allowances text, invoice_option text, fees text"
)
"""The columns of `preview_document` after the preview's id: the fields of `PreviewDocument`."""
_DOCUMENT_COLUMNS = ", ".join(_DOCUMENT)


@dataclass(frozen=True, slots=True)
class Preview:
    """The head of a stored preview."""

    preview_id: str
    cut_off: date
    settings: dict[str, Any]


async def preview_documents(
    connection: AsyncConnection, documents: Sequence[Document]
) -> list[PreviewDocument]:
    """Return the documents as a preview stores them, each with the hash of its lines."""
    hashes: dict[int, str] = {
        row.group_no: row.line_hash for row in await rows(connection, QUERIES["line_hashes"])
    }
    return [
        PreviewDocument(
            document_no=number,
            account_name=each.group.account_name,
            document_type=each.document_type,
            currency=each.group.currency,
            payment_terms=each.group.terms.payment_terms,
            po_number=each.group.po_number,
            tax_regime=each.group.terms.tax_regime,
            line_count=each.group.line_count,
            net=each.group.net,
            tax=each.group.tax,
            line_hash=hashes[each.group.group_no],
            allowances=json.dumps(each.group.allowance_rows) if each.group.allowances else "",
            invoice_option=json.dumps(each.group.option.row) if each.group.option else "",
            fees=json.dumps(each.group.fee_rows) if each.group.fees else "",
        )
        for number, each in enumerate(documents, start=1)
    ]


async def add_preview(
    connection: AsyncConnection,
    preview: Preview,
    billing_company: str,
    digest: str,
    totals: Sequence[Mapping[str, object]],
    actor: str,
    documents: Sequence[tuple[int, PreviewDocument]],
) -> None:
    """Store a preview: its head, its documents, and every open line with its document or reason.

    `documents`: each with the number of its group.
    """
    await run(
        connection,
        QUERIES["add_preview"],
        id=preview.preview_id,
        company=billing_company,
        cut_off=preview.cut_off,
        digest=digest,
        totals=json.dumps(list(totals)),
        settings=json.dumps(preview.settings),
        actor=actor,
        at=now(),
    )
    await run(
        connection,
        f"INSERT INTO invoicer.preview_document (preview_id, {_DOCUMENT_COLUMNS})"
        f" SELECT :id, * FROM unnest({columns(_DOCUMENT)}) AS d({_DOCUMENT_COLUMNS})"
        " WHERE document_no IS NOT NULL",
        id=preview.preview_id,
        **joined_rows(_DOCUMENT, [astuple(document) for _, document in documents]),
    )
    await run(
        connection,
        QUERIES["add_lines"],
        id=preview.preview_id,
        reasons=list(REASONS),
        groups=[group_no for group_no, _ in documents],
        numbers=[document.document_no for _, document in documents],
    )


async def preview_for(
    connection: AsyncConnection, billing_company: str, digest: str
) -> Preview | None:
    """Return the newest preview of a company with this digest."""
    query = QUERIES["newest_preview"]
    for row in await rows(connection, query, company=billing_company, digest=digest):
        return Preview(*row)
    return None


async def documents_of(connection: AsyncConnection, preview_id: str) -> list[PreviewDocument]:
    """Return the documents of a stored preview."""
    query = (
        f"SELECT {_DOCUMENT_COLUMNS} FROM invoicer.preview_document"
        " WHERE preview_id = :id ORDER BY document_no"
    )
    return [PreviewDocument(*row) for row in await rows(connection, query, id=preview_id)]


async def lines_that_differ(connection: AsyncConnection, preview_id: str) -> tuple[int, list[int]]:
    """Return how many lines are in only one of the preview and the selection, and the first ids."""
    lines = await rows(connection, QUERIES["changed_lines"], id=preview_id, most=MOST_IDS)
    return (lines[0].lines if lines else 0), [row.pay_line_id for row in lines]
