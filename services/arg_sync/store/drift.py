"""Drifts: kept once while they last, said once, ended when a later look no longer finds them. And where our own books disagree."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.rules.reconcile import Code, Disagreement, Drift
from shared.database import rows, run

ADD = """
INSERT INTO arg_sync.drift (ledger, invoice_id, invoice_number, code, remote_id, message, fix)
SELECT :ledger, * FROM unnest(CAST(:ids AS bigint[]), CAST(:numbers AS text[]), CAST(:codes AS text[]), CAST(:remotes AS text[]),
  CAST(:messages AS text[]), CAST(:fixes AS text[]))
ON CONFLICT (ledger, invoice_number, code, remote_id) WHERE gone_at IS NULL DO NOTHING
RETURNING drift_id"""
END = """
UPDATE arg_sync.drift d SET gone_at = now()
WHERE d.ledger = :ledger AND d.gone_at IS NULL AND d.invoice_number = ANY(CAST(:looked_at AS text[])) AND d.code = ANY(CAST(:kinds AS text[]))
  AND NOT EXISTS (SELECT FROM unnest(CAST(:numbers AS text[]), CAST(:codes AS text[]), CAST(:remotes AS text[])) AS f(number, code, remote)
                  WHERE f.number = d.invoice_number AND f.code = d.code AND f.remote = d.remote_id)"""
# What was said, against our books.
BOOKS = """
WITH company AS (SELECT billing_company, auto_sync, connected_at FROM arg_sync.connection WHERE ledger = :ledger),
ours AS (
  SELECT i.invoice_id, i.invoice_number, i.currency, i.total, i.content_hash, i.closed_at, c.auto_sync AND i.closed_at > c.connected_at AS wanted
  FROM invoicer.closed_invoice i JOIN company c USING (billing_company)),
heard AS (SELECT h.* FROM arg_sync.received_document h JOIN company USING (billing_company))
SELECT 'not-received' AS code, o.invoice_id, o.invoice_number, '' AS had FROM ours o
WHERE o.closed_at < now() - make_interval(mins => :late_minutes) AND o.closed_at > (SELECT connected_at FROM company)
  AND NOT EXISTS (SELECT FROM heard h WHERE h.invoice_id = o.invoice_id)
UNION ALL
SELECT 'event-differs', o.invoice_id, o.invoice_number, h.invoice_number || ' of ' || trim_scale(h.total) || ' ' || h.currency
FROM ours o JOIN heard h USING (invoice_id)
WHERE (o.invoice_number, o.currency, o.total) IS DISTINCT FROM (h.invoice_number, h.currency, h.total) OR coalesce(o.content_hash, '') <> h.content_hash
UNION ALL
SELECT 'unknown-document', h.invoice_id, h.invoice_number, '' FROM heard h WHERE NOT EXISTS (SELECT FROM ours o WHERE o.invoice_id = h.invoice_id)
UNION ALL
SELECT 'missing', o.invoice_id, o.invoice_number, '' FROM ours o
WHERE o.wanted AND EXISTS (SELECT FROM heard h WHERE h.invoice_id = o.invoice_id AND h.received_at < now() - make_interval(mins => :late_minutes))
  AND NOT EXISTS (SELECT FROM arg_sync.delivery d WHERE d.ledger = :ledger AND d.invoice_id = o.invoice_id)
ORDER BY 2, 1"""


async def keep(
    connection: AsyncConnection,
    ledger: str,
    found: Sequence[Drift],
    looked_at: Sequence[str],
    kinds: Sequence[Code],
) -> list[int]:
    """Keeps new drifts, and ends those of the documents looked at that are no more; ids of the new ones."""
    names = {
        "ledger": ledger,
        "numbers": [each.number for each in found],
        "codes": [each.code for each in found],
        "remotes": [each.remote_id for each in found],
    }
    await run(connection, END, **names, looked_at=list(looked_at), kinds=list(kinds))
    new = await rows(
        connection,
        ADD,
        **names,
        ids=[each.invoice_id for each in found],
        messages=[each.message for each in found],
        fixes=[each.fix for each in found],
    )
    return [row.drift_id for row in new]


async def disagreements(
    connection: AsyncConnection, ledger: str, late_minutes: int
) -> list[Disagreement]:
    """Where what was said, our documents and our deliveries do not agree. What is younger than that may still be on its way."""
    return [
        Disagreement(*row)
        for row in await rows(connection, BOOKS, ledger=ledger, late_minutes=late_minutes)
    ]


async def open_numbers(
    connection: AsyncConnection, ledger: str, kinds: Sequence[Code]
) -> list[str]:
    """The documents with open drifts of these kinds."""
    found = await rows(
        connection,
        "SELECT DISTINCT invoice_number FROM arg_sync.drift WHERE ledger = :ledger AND gone_at IS NULL AND code = ANY(CAST(:kinds AS text[]))",
        ledger=ledger,
        kinds=list(kinds),
    )
    return [row.invoice_number for row in found]


async def open_count(connection: AsyncConnection, ledger: str) -> int:
    """How many drifts are open."""
    return int(
        (
            await rows(
                connection,
                "SELECT count(*) AS n FROM arg_sync.drift WHERE ledger = :ledger AND gone_at IS NULL",
                ledger=ledger,
            )
        )[0].n
    )
