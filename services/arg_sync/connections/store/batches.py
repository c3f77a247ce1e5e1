"""The stored requests of a batch, for adapters that send a batch as a whole.

The requests are frozen before anything is sent, so what they make up is the same for every worker
and after every kill. This is the one query here that reads deliveries.
"""

from sqlalchemy.ext.asyncio import AsyncEngine

from services.arg_sync.ledgers.adapter import BatchRequests, FrozenRequest
from shared.database import rows

BATCH_SQL = """
SELECT i.invoice_number, i.document_type, d.request, d.request_key,
       CASE WHEN d.state IS NULL THEN 'not queued'
            WHEN d.state = 'refused' THEN 'refused: ' || d.code ELSE d.state END AS state
FROM invoicer.closed_invoice i
LEFT JOIN arg_sync.delivery d ON d.ledger = :ledger AND d.invoice_id = i.invoice_id
WHERE i.batch_id = :batch AND coalesce(d.state <> 'posted' OR d.code <> 'marked', true)
ORDER BY i.series, i.number"""


async def batch_requests(engine: AsyncEngine, ledger: str, batch_id: str) -> BatchRequests:
    """Return the stored requests of a batch, and what is missing."""
    async with engine.connect() as connection:
        found = await rows(connection, BATCH_SQL, ledger=ledger, batch=batch_id)
    return BatchRequests(
        tuple(
            FrozenRequest(row.request_key, row.request, row.document_type, row.invoice_number)
            for row in found
            if row.request is not None
        ),
        tuple(f"{row.invoice_number} ({row.state})" for row in found if row.request is None),
    )
