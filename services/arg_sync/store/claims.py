"""Deliveries in hand: taken under a lease, frozen before the first call, and given their outcome. Who lost the lease writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.rules.claiming import Lease, Order, Waiting, next_in_order
from shared.database import rows, run

MOST_LOOKED_AT = 2_000

# A credit note waits for the invoices that it corrects, if they go to the same ledger.
OPEN = """
FROM arg_sync.delivery d
WHERE d.ledger = :ledger AND d.state IN ('queued', 'sending', 'unknown')
  AND NOT (d.document_type = 'credit-note' AND EXISTS (
    SELECT FROM arg_sync.correction c JOIN arg_sync.delivery i ON i.ledger = d.ledger AND i.invoice_id = c.corrects_invoice_id
    WHERE c.invoice_id = d.invoice_id AND i.state <> 'posted'))"""
IN_PLACE = "ORDER BY d.invoice_date, d.document_type DESC, d.invoice_id LIMIT :most"
WAITING = f"""
SELECT d.delivery_id, d.account_name, d.invoice_date, d.next_attempt_at <= clock_timestamp() AS due, d.tries {OPEN}"""
TAKE = """
WITH before AS (SELECT delivery_id, state FROM arg_sync.delivery WHERE delivery_id = ANY(CAST(:ids AS bigint[])) FOR UPDATE)
UPDATE arg_sync.delivery d SET
  state = 'sending', lease = d.lease + 1, leased_by = :holder, attempts = d.attempts + 1,
  doubt = d.doubt OR before.state IN ('sending', 'unknown'),
  next_attempt_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS float8))
FROM before WHERE before.delivery_id = d.delivery_id
RETURNING d.delivery_id, d.lease, d.invoice_id, d.invoice_number, d.document_type, d.account_name, d.invoice_date, d.currency, d.total, d.revision,
  d.request_key, d.request, d.customer, d.doubt, d.remote_id, d.remote_state, d.attempts, d.tries,
  coalesce(CAST(extract(epoch FROM clock_timestamp() - d.failing_since) AS float8), 0) AS troubled_seconds"""


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery under a lease of ours."""

    delivery_id: int
    lease: int
    invoice_id: int
    invoice_number: str
    document_type: str
    account_name: str
    invoice_date: date
    currency: str
    total: Decimal
    revision: int
    request_key: str | None
    request: str | None
    customer: str | None
    doubt: bool
    remote_id: str | None
    remote_state: str
    attempts: int
    tries: int
    troubled_seconds: float


async def take(
    connection: AsyncConnection, ledger: str, holder: str, order: Order, most: int, lease: Lease
) -> list[Taken]:
    """Takes at most so many deliveries whose turn it is. One claimer of a ledger at a time: the order holds over all workers."""
    await run(
        connection,
        "SELECT next_at FROM arg_sync.call_pacing WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )
    if order == "none":
        found = await rows(
            connection,
            f"{WAITING} AND d.next_attempt_at <= clock_timestamp() {IN_PLACE}",
            ledger=ledger,
            most=most,
        )
    else:
        found = await rows(connection, f"{WAITING} {IN_PLACE}", ledger=ledger, most=MOST_LOOKED_AT)
    ids = next_in_order([Waiting(*row) for row in found], order, most)
    if not ids:
        return []
    taken = [
        Taken(*row)
        for row in await rows(connection, TAKE, ids=ids, holder=holder, seconds=lease.whole_seconds)
    ]
    return sorted(taken, key=lambda each: ids.index(each.delivery_id))


async def freeze(
    connection: AsyncConnection, frozen: Sequence[tuple[Taken, str, str, str]]
) -> set[int]:
    """Keeps request, key and customer before the first call; the deliveries that still are ours."""
    found = await rows(
        connection,
        "UPDATE arg_sync.delivery d SET request = f.request, request_key = f.request_key, customer = f.customer"
        " FROM unnest(CAST(:ids AS bigint[]), CAST(:leases AS bigint[]), CAST(:requests AS text[]), CAST(:keys AS text[]), CAST(:customers AS text[]))"
        "   AS f(delivery_id, lease, request, request_key, customer)"
        " WHERE d.delivery_id = f.delivery_id AND d.lease = f.lease AND (d.request IS NULL OR NOT d.doubt) RETURNING d.delivery_id",
        ids=[each.delivery_id for each, *_ in frozen],
        leases=[each.lease for each, *_ in frozen],
        requests=[request for _, request, _, _ in frozen],
        keys=[key for _, _, key, _ in frozen],
        customers=[customer for _, _, _, customer in frozen],
    )
    return {row.delivery_id for row in found}


async def keep_draft(
    connection: AsyncConnection, taken: Taken, remote_id: str, remote_number: str, remote_state: str
) -> bool:
    """Keeps the id that the ledger gave, before the next call; False if the lease is another's by now."""
    return bool(
        await run(
            connection,
            "UPDATE arg_sync.delivery SET remote_id = :remote_id, remote_number = :remote_number, remote_state = :remote_state"
            " WHERE delivery_id = :id AND lease = :lease",
            id=taken.delivery_id,
            lease=taken.lease,
            remote_id=remote_id,
            remote_number=remote_number,
            remote_state=remote_state,
        )
    )


SETTLE = """
WITH o AS (
  SELECT * FROM jsonb_to_recordset(CAST(:outcomes AS jsonb)) AS o(delivery_id bigint, lease bigint, state text, wait float8, doubt boolean, tries integer,
    code text, message text, fix text, remote_id text, remote_number text, remote_state text, steps text, duration_ms integer)),
done AS (
  UPDATE arg_sync.delivery d SET state = o.state, doubt = o.doubt, tries = o.tries, code = o.code, message = o.message, fix = o.fix,
    remote_id = coalesce(o.remote_id, d.remote_id), remote_number = coalesce(o.remote_number, d.remote_number),
    remote_state = coalesce(o.remote_state, d.remote_state), lease = d.lease + 1, leased_by = '',
    failing_since = CASE WHEN o.tries > 0 THEN coalesce(d.failing_since, now()) END,
    settled_at = CASE WHEN o.state IN ('posted', 'refused') THEN now() END,
    next_attempt_at = clock_timestamp() + make_interval(secs => o.wait)
  FROM o WHERE d.delivery_id = o.delivery_id AND d.lease = o.lease
  RETURNING d.delivery_id, d.attempts, d.revision, d.state)
INSERT INTO arg_sync.attempt (delivery_id, attempt_no, revision, state, code, message, fix, steps, worker, duration_ms)
SELECT done.delivery_id, done.attempts, done.revision, done.state, o.code, o.message, o.fix, o.steps, :worker, o.duration_ms
FROM done JOIN o USING (delivery_id)
RETURNING delivery_id, attempt_no, state"""


async def settle(connection: AsyncConnection, outcomes: str, worker: str) -> list[Any]:
    """Gives deliveries their outcome (JSON rows), if they still are ours; (delivery_id, attempt_no, state) of those that were."""
    return await rows(connection, SETTLE, outcomes=outcomes, worker=worker)


async def give_back(connection: AsyncConnection, taken: Sequence[Taken]) -> None:
    """Deliveries that were taken and not touched: as they were before."""
    await run(
        connection,
        "UPDATE arg_sync.delivery d SET state = CASE WHEN d.doubt THEN 'unknown' ELSE 'queued' END, next_attempt_at = clock_timestamp(), lease = d.lease + 1,"
        " leased_by = '', attempts = d.attempts - 1"
        " FROM unnest(CAST(:ids AS bigint[]), CAST(:leases AS bigint[])) AS g(delivery_id, lease)"
        " WHERE d.delivery_id = g.delivery_id AND d.lease = g.lease",
        ids=[each.delivery_id for each in taken],
        leases=[each.lease for each in taken],
    )


async def remote_id_of(connection: AsyncConnection, delivery_id: int) -> str | None:
    """The id that is kept for a delivery."""
    found = await rows(
        connection,
        "SELECT remote_id FROM arg_sync.delivery WHERE delivery_id = :id",
        id=delivery_id,
    )
    return found[0].remote_id if found else None


async def holders(connection: AsyncConnection) -> list[tuple[str, str]]:
    """Ledger and name of those who have something in hand."""
    found = await rows(
        connection,
        "SELECT DISTINCT ledger, leased_by FROM arg_sync.delivery WHERE state = 'sending'",
    )
    return [(row.ledger, row.leased_by) for row in found]


async def inherit(connection: AsyncConnection, ledger: str, holder: str, seconds: float) -> int:
    """The leases of a holder that is dead for certain end when its last call can no longer take effect; its slots are free."""
    await run(
        connection,
        "DELETE FROM arg_sync.call_slot WHERE ledger = :ledger AND holder = :holder",
        ledger=ledger,
        holder=holder,
    )
    return await run(
        connection,
        "UPDATE arg_sync.delivery SET leased_by = '',"
        " next_attempt_at = least(next_attempt_at, clock_timestamp() + make_interval(secs => CAST(:seconds AS float8)))"
        " WHERE ledger = :ledger AND state = 'sending' AND leased_by = :holder",
        ledger=ledger,
        holder=holder,
        seconds=seconds,
    )
