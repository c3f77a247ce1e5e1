"""Reconciliation runs: requested by an operator or nightly, claimed by one worker, resumable."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import FROM_NOW
from services.arg_sync.reconciliation.rules import SettledDelivery
from shared.database import rows, run

NIGHTLY, NIGHTLY_HOUR = "night", 2
NIGHTLY_DAYS = 120
LEASE_SECONDS = 900.0
# Once after 02:00 UTC, for each connected ledger that is older than that night. A run that an
# operator requested the same morning counts.
REQUEST_NIGHTLY = f"""
INSERT INTO arg_sync.reconciliation (ledger, actor, since)
SELECT c.ledger, '{NIGHTLY}', CAST(night.began AT TIME ZONE 'UTC' AS date) - {NIGHTLY_DAYS}
FROM arg_sync.connection c,
  (SELECT date_trunc('day', now() - interval '{NIGHTLY_HOUR} hours', 'UTC')
    + interval '{NIGHTLY_HOUR} hours' AS began) night
WHERE c.state = 'connected' AND c.connected_at < night.began
  AND NOT EXISTS (SELECT FROM arg_sync.reconciliation r
    WHERE r.ledger = c.ledger AND r.requested_at >= night.began)
ON CONFLICT DO NOTHING"""
# A delivery adopted by an operator has a message; one adopted by the delivery loop has none.
SETTLED_DELIVERIES = """
SELECT delivery_id, lease, ledger, invoice_id, invoice_number AS number, document_type AS kind,
  currency, total, coalesce(customer, '') AS customer, coalesce(remote_id, '') AS remote_id,
  state = 'posted' AS posted,
  code = 'marked' OR (code = 'adopted' AND message <> '') AS by_hand
FROM arg_sync.delivery
WHERE ledger = :ledger AND state IN ('posted', 'refused') AND delivery_id > :after
  AND (CAST(:since AS date) IS NULL OR invoice_date >= :since)
ORDER BY delivery_id LIMIT :most"""


@dataclass(frozen=True, slots=True)
class ReconciliationRun:
    """A claimed run. Every write names its lease; a worker that lost the lease writes nothing."""

    run_id: int
    lease: int
    since: date | None
    position: int
    tries: int


async def request(connection: AsyncConnection, ledger: str, actor: str) -> int:
    """Request a run over all documents and return its id.

    An open run over all documents is that run; an open nightly run is restarted over all.
    """
    await run(
        connection,
        "INSERT INTO arg_sync.reconciliation (ledger, actor) VALUES (:ledger, :actor)"
        " ON CONFLICT DO NOTHING",
        ledger=ledger,
        actor=actor,
    )
    await run(
        connection,
        "UPDATE arg_sync.reconciliation SET since = NULL, position = 0, documents = 0, unread = 0,"
        " actor = :actor, lease = lease + 1, state = 'waiting', next_at = clock_timestamp()"
        " WHERE ledger = :ledger AND state IN ('waiting', 'reading') AND since IS NOT NULL",
        ledger=ledger,
        actor=actor,
    )
    (row,) = await rows(
        connection,
        "SELECT run_id FROM arg_sync.reconciliation"
        " WHERE ledger = :ledger AND state IN ('waiting', 'reading')",
        ledger=ledger,
    )
    return int(row.run_id)


async def request_nightly(connection: AsyncConnection) -> None:
    """Request the nightly runs, once each."""
    await run(connection, REQUEST_NIGHTLY)


async def due(connection: AsyncConnection) -> list[str]:
    """Return the connections with a run that no worker has a lease on."""
    found = await rows(
        connection,
        "SELECT r.ledger FROM arg_sync.reconciliation r JOIN arg_sync.connection c USING (ledger)"
        " WHERE r.state IN ('waiting', 'reading') AND r.next_at <= clock_timestamp()"
        " ORDER BY r.ledger",
    )
    return [row.ledger for row in found]


async def claim(connection: AsyncConnection, ledger: str) -> ReconciliationRun | None:
    """Claim the run of a connection; None if another worker has it."""
    found = await rows(
        connection,
        "UPDATE arg_sync.reconciliation SET state = 'reading', lease = lease + 1,"
        f" next_at = {FROM_NOW}"
        " WHERE ledger = :ledger AND state IN ('waiting', 'reading')"
        " AND next_at <= clock_timestamp()"
        " RETURNING run_id, lease, since, position, tries",
        ledger=ledger,
        seconds=LEASE_SECONDS,
    )
    return ReconciliationRun(*found[0]) if found else None


async def _update(
    connection: AsyncConnection, one: ReconciliationRun, assignments: str, **values: Any
) -> bool:
    """Update a run; False if another worker has the lease."""
    return bool(
        await run(
            connection,
            f"UPDATE arg_sync.reconciliation SET {assignments}"
            " WHERE run_id = :id AND lease = :lease",
            id=one.run_id,
            lease=one.lease,
            **values,
        )
    )


async def settled_after(
    connection: AsyncConnection, ledger: str, since: date | None, after: int, most: int
) -> list[SettledDelivery]:
    """Return the next deliveries to compare."""
    found = await rows(
        connection, SETTLED_DELIVERIES, ledger=ledger, since=since, after=after, most=most
    )
    return [SettledDelivery(*row) for row in found]


async def advance(
    connection: AsyncConnection,
    one: ReconciliationRun,
    position: int,
    documents: int,
    unread: int,
) -> bool:
    """Store the progress and extend the lease; False if the lease is lost."""
    return await _update(
        connection,
        one,
        "position = :position, documents = documents + :documents, unread = unread + :unread,"
        f" tries = 0, next_at = {FROM_NOW}",
        position=position,
        documents=documents,
        unread=unread,
        seconds=LEASE_SECONDS,
    )


async def end(
    connection: AsyncConnection, one: ReconciliationRun, state: str, message: str
) -> None:
    """End a run as done or failed. The drifts found until then stay."""
    await _update(
        connection,
        one,
        "state = :state, message = :message, ended_at = clock_timestamp()",
        state=state,
        message=message,
    )


async def postpone(
    connection: AsyncConnection,
    one: ReconciliationRun,
    seconds: float,
    message: str,
    *,
    failed: bool,
) -> None:
    """Let the run continue later from its position."""
    await _update(
        connection,
        one,
        "state = 'waiting', message = :message, tries = tries + CAST(:failed AS integer),"
        f" next_at = {FROM_NOW}",
        message=message,
        failed=int(failed),
        seconds=seconds,
    )


async def lock_unchanged(
    connection: AsyncConnection, compared: Sequence[SettledDelivery]
) -> set[int]:
    """Lock the compared deliveries and return the ids of those that did not change since."""
    found = await rows(
        connection,
        "SELECT d.delivery_id FROM arg_sync.delivery d"
        " JOIN unnest(CAST(:ids AS bigint[]), CAST(:leases AS bigint[])) AS o(delivery_id, lease)"
        "   ON d.delivery_id = o.delivery_id AND d.lease = o.lease"
        " WHERE d.state IN ('posted', 'refused') FOR SHARE OF d",
        ids=[each.delivery_id for each in compared],
        leases=[each.lease for each in compared],
    )
    return {row.delivery_id for row in found}


async def progress(connection: AsyncConnection, run_id: int) -> Any:
    """Return how many documents a run compared and how many it could not read."""
    (row,) = await rows(
        connection,
        "SELECT documents, unread FROM arg_sync.reconciliation WHERE run_id = :id",
        id=run_id,
    )
    return row
