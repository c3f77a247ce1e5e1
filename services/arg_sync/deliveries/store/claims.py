"""Claimed deliveries: leased, frozen before the first call, and settled.

Every write names its lease, so a worker that lost the lease writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import FROM_NOW
from services.arg_sync.connections.store.budget import lock_budget, release_slots
from services.arg_sync.deliveries.rules.claiming import Lease, OpenDelivery, next_in_order
from services.arg_sync.ledgers.adapter import Order
from shared.database import rows, run
from shared.sql import named_queries

MAX_OPEN_READ = 2_000
QUERIES = named_queries(Path(__file__).with_suffix(".sql"))


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery on which this worker has a lease.

    `request`, `request_key` and `customer` are set once it is rendered; stored, they stay.
    """

    delivery_id: int
    lease: int
    invoice_id: int
    invoice_number: str
    account_name: str
    currency: str
    revision: int
    request_key: str | None
    request: str | None
    customer: str | None
    outcome_unknown: bool
    remote_id: str | None
    tries: int
    failing_seconds: float


async def claim(
    connection: AsyncConnection, ledger: str, holder: str, order: Order, most: int, lease: Lease
) -> list[ClaimedDelivery]:
    """Claim due deliveries in their order.

    One worker at a time claims deliveries of a ledger, so the order holds over all workers.
    """
    await lock_budget(connection, ledger)
    found = await rows(
        connection,
        QUERIES["open_deliveries"],
        ledger=ledger,
        only_due=order == "none",
        most=most if order == "none" else MAX_OPEN_READ,
    )
    ids = next_in_order([OpenDelivery(*row) for row in found], order, most)
    if not ids:
        return []
    claimed = await rows(
        connection, QUERIES["claim"], ids=ids, holder=holder, seconds=lease.whole_seconds
    )
    return sorted(
        (ClaimedDelivery(*row) for row in claimed), key=lambda each: ids.index(each.delivery_id)
    )


async def freeze(connection: AsyncConnection, rendered: Sequence[ClaimedDelivery]) -> set[int]:
    """Store requests before the first call; return the deliveries whose lease still holds."""
    found = await rows(
        connection,
        "UPDATE arg_sync.delivery d"
        " SET request = f.request, request_key = f.request_key, customer = f.customer"
        " FROM unnest(CAST(:ids AS bigint[]), CAST(:leases AS bigint[]),"
        "   CAST(:requests AS text[]), CAST(:keys AS text[]), CAST(:customers AS text[]))"
        "   AS f(delivery_id, lease, request, request_key, customer)"
        " WHERE d.delivery_id = f.delivery_id AND d.lease = f.lease"
        " AND (d.request IS NULL OR NOT d.outcome_unknown) RETURNING d.delivery_id",
        ids=[each.delivery_id for each in rendered],
        leases=[each.lease for each in rendered],
        requests=[each.request for each in rendered],
        keys=[each.request_key for each in rendered],
        customers=[each.customer for each in rendered],
    )
    return {row.delivery_id for row in found}


async def keep_draft(
    connection: AsyncConnection, delivery: ClaimedDelivery, remote_id: str, remote_number: str
) -> bool:
    """Store the id of a draft before it is posted; False if the lease is lost."""
    return bool(
        await run(
            connection,
            "UPDATE arg_sync.delivery SET remote_id = :remote_id,"
            " remote_number = :remote_number, remote_state = 'draft'"
            " WHERE delivery_id = :id AND lease = :lease",
            id=delivery.delivery_id,
            lease=delivery.lease,
            remote_id=remote_id,
            remote_number=remote_number,
        )
    )


async def settle(connection: AsyncConnection, outcomes: str, worker: str) -> list[Any]:
    """Store outcomes (JSON rows); return those stored, for `messages.outbox_id`."""
    return await rows(connection, QUERIES["settle"], outcomes=outcomes, worker=worker)


async def release(connection: AsyncConnection, claimed: Sequence[ClaimedDelivery]) -> None:
    """Return claimed deliveries for which nothing was sent to their previous state."""
    await run(
        connection,
        "UPDATE arg_sync.delivery d SET lease = d.lease + 1, leased_by = '',"
        " state = CASE WHEN d.outcome_unknown THEN 'unknown' ELSE 'queued' END,"
        " next_attempt_at = clock_timestamp(), attempts = d.attempts - 1"
        " FROM unnest(CAST(:ids AS bigint[]), CAST(:leases AS bigint[])) AS g(delivery_id, lease)"
        " WHERE d.delivery_id = g.delivery_id AND d.lease = g.lease",
        ids=[each.delivery_id for each in claimed],
        leases=[each.lease for each in claimed],
    )


async def remote_id_of(connection: AsyncConnection, delivery_id: int) -> str | None:
    """Return the stored id of the document in the ledger."""
    found = await rows(
        connection,
        "SELECT remote_id FROM arg_sync.delivery WHERE delivery_id = :id",
        id=delivery_id,
    )
    return found[0].remote_id if found else None


async def holders(connection: AsyncConnection) -> list[tuple[str, str]]:
    """Return (ledger, holder) of every lease."""
    found = await rows(
        connection,
        "SELECT DISTINCT ledger, leased_by FROM arg_sync.delivery WHERE state = 'sending'",
    )
    return [(row.ledger, row.leased_by) for row in found]


async def shorten_leases(
    connection: AsyncConnection, ledger: str, holder: str, seconds: float
) -> None:
    """End the leases of a dead holder once its last call can no longer take effect."""
    await release_slots(connection, ledger, holder)
    await run(
        connection,
        "UPDATE arg_sync.delivery SET leased_by = '',"
        f" next_attempt_at = least(next_attempt_at, {FROM_NOW})"
        " WHERE ledger = :ledger AND state = 'sending' AND leased_by = :holder",
        ledger=ledger,
        holder=holder,
        seconds=seconds,
    )
