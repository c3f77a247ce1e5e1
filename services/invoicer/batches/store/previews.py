"""Stored previews: what a batch would be, document by document and line by line, so that a later batch can be held to it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.digest import PreviewDocument
from services.invoicer.batches.rules.reasons import REASONS
from services.invoicer.invoices.rules.documents import Document
from shared.clock import now
from shared.database import rows, run

MOST_IDS = 20

HASHES_SQL = """
SELECT k.group_no, encode(sha256(string_agg(int8send(hash_record_extended(ROW(k.pay_line_id, s.debtor_node, k.tax_code, k.tax_rate), 0)), CAST('' AS bytea)
                                            ORDER BY k.line_no)), 'hex') AS line_hash
FROM selected_line k JOIN line_location s ON s.location_no = k.location_no WHERE k.exclusion_reason = 0 GROUP BY k.group_no"""


@dataclass(frozen=True, slots=True)
class Preview:
    """The head of a stored preview."""

    preview_id: str
    cut_off: date
    settings: dict[str, Any]


async def preview_documents(
    connection: AsyncConnection, documents: Sequence[Document]
) -> list[PreviewDocument]:
    """The documents as a preview keeps them, each with the hash of its lines."""
    hashes: dict[int, str] = {
        row.group_no: row.line_hash for row in await rows(connection, HASHES_SQL)
    }
    return [
        PreviewDocument(
            document_no=at,
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
        )
        for at, each in enumerate(documents, start=1)
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
    """Stores a preview: its head, its documents (each with its group), and every open line with its document or its one reason."""
    await run(
        connection,
        "INSERT INTO invoicer.preview (preview_id, billing_company, cut_off_date, digest, totals, settings, actor, previewed_at)"
        " VALUES (:id, :company, :cut_off, :digest, CAST(:totals AS jsonb), CAST(:settings AS jsonb), :actor, :at)",
        id=preview.preview_id,
        company=billing_company,
        cut_off=preview.cut_off,
        digest=digest,
        totals=json.dumps(list(totals)),
        settings=json.dumps(preview.settings),
        actor=actor,
        at=now(),
    )
    each = [document for _, document in documents]
    await run(
        connection,
        "INSERT INTO invoicer.preview_document SELECT :id, * FROM unnest(CAST(:numbers AS integer[]), CAST(:accounts AS text[]), CAST(:types AS text[]),"
        " CAST(:currencies AS text[]), CAST(:terms AS text[]), CAST(:pos AS text[]), CAST(:regimes AS text[]), CAST(:counts AS integer[]),"
        " CAST(:nets AS numeric[]), CAST(:taxes AS numeric[]), CAST(:hashes AS text[]))",
        id=preview.preview_id,
        numbers=[document.document_no for document in each],
        accounts=[document.account_name for document in each],
        types=[document.document_type for document in each],
        currencies=[document.currency for document in each],
        terms=[document.payment_terms for document in each],
        pos=[document.po_number for document in each],
        regimes=[document.tax_regime for document in each],
        counts=[document.line_count for document in each],
        nets=[document.net for document in each],
        taxes=[document.tax for document in each],
        hashes=[document.line_hash for document in each],
    )
    await run(
        connection,
        "INSERT INTO invoicer.preview_line (preview_id, pay_line_id, document_no, reason)"
        " SELECT :id, k.pay_line_id, d.document_no, (CAST(:reasons AS text[]))[nullif(k.exclusion_reason, 0)] FROM selected_line k"
        " LEFT JOIN unnest(CAST(:groups AS bigint[]), CAST(:numbers AS integer[])) AS d(group_no, document_no)"
        " ON d.group_no = k.group_no AND k.exclusion_reason = 0 ORDER BY k.pay_line_id",
        id=preview.preview_id,
        reasons=list(REASONS),
        groups=[group_no for group_no, _ in documents],
        numbers=[document.document_no for document in each],
    )


async def preview_for(
    connection: AsyncConnection, billing_company: str, digest: str
) -> Preview | None:
    """The newest preview of a company with this digest."""
    query = """
        SELECT preview_id, cut_off_date, settings FROM invoicer.preview
        WHERE billing_company = :company AND digest = :digest ORDER BY previewed_at DESC LIMIT 1"""
    found = await rows(connection, query, company=billing_company, digest=digest)
    return Preview(*found[0]) if found else None


async def documents_of(connection: AsyncConnection, preview_id: str) -> list[PreviewDocument]:
    """The documents of a stored preview."""
    query = """
        SELECT document_no, account_name, document_type, currency, payment_terms, po_number, tax_regime, line_count, net, tax, line_hash
        FROM invoicer.preview_document WHERE preview_id = :id ORDER BY document_no"""
    return [PreviewDocument(*row) for row in await rows(connection, query, id=preview_id)]


async def lines_that_differ(connection: AsyncConnection, preview_id: str) -> tuple[int, list[int]]:
    """Lines that were in the preview and are not in the selection now, or the other way round: how many, and the first ids."""
    query = """
        SELECT pay_line_id, count(*) OVER () AS lines
        FROM (SELECT pay_line_id FROM invoicer.preview_line WHERE preview_id = :id AND reason IS NULL) v
        FULL JOIN (SELECT pay_line_id FROM selected_line WHERE exclusion_reason = 0) k USING (pay_line_id)
        WHERE v.pay_line_id IS NULL OR k.pay_line_id IS NULL
        ORDER BY pay_line_id LIMIT :most"""
    found = await rows(connection, query, id=preview_id, most=MOST_IDS)
    return (found[0].lines if found else 0), [row.pay_line_id for row in found]
