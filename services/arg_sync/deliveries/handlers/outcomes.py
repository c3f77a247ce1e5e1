"""Storing outcomes: deliveries, attempts, the circuit of the connection and outgoing messages."""

import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.handlers.circuit import open_circuit, stop_connection
from services.arg_sync.connections.handlers.loops import ConnectionLoop
from services.arg_sync.connections.rules import Jitter
from services.arg_sync.connections.store import connections
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.deliveries.handlers.sending import Outcome
from services.arg_sync.deliveries.store import claims, messages
from shared import faults, telemetry
from shared.consumer.records import Applied


async def store_outcomes(
    loop: ConnectionLoop, ledger: LedgerConnection, outcomes: Sequence[Outcome]
) -> None:
    """Store outcomes in one transaction and publish their messages."""
    await faults.point("before_outcome")
    values = json.dumps([_row(each) for each in outcomes])

    async def store(connection: AsyncConnection) -> Applied:
        settled = await claims.settle(connection, values, loop.holder)
        await _update_connection(connection, ledger, outcomes, loop.jitter)
        return Applied(
            publish_now=[
                messages.outbox_id(row.state, row.delivery_id, row.attempt_no)
                for row in settled
                if row.state in ("posted", "refused")
            ]
        )

    await loop.unit_of_work.transact(store)
    for each in outcomes:
        telemetry.DELIVERIES_ENDED.labels(ledger.kind, each.next.state).inc()
        if each.next.state == "refused":
            telemetry.log().warning(
                "delivery refused",
                ledger=ledger.name,
                invoice=each.claimed.invoice_number,
                code=each.next.code,
            )


async def _update_connection(
    connection: AsyncConnection,
    ledger: LedgerConnection,
    outcomes: Sequence[Outcome],
    jitter: Jitter,
) -> None:
    """Stop the connection, open its circuit, or close it after a successful delivery."""
    failures = [each.failure for each in outcomes if each.failure is not None]
    refused_key = next((failed for failed in failures if failed.failure == "auth"), None)
    if refused_key is not None:
        await stop_connection(connection, ledger, refused_key.message)
    elif failures:
        wait = max(failed.retry_after or 0.0 for failed in failures)
        await open_circuit(connection, ledger, wait or None, failures[-1].message, jitter)
    elif ledger.failures and any(each.next.state == "posted" for each in outcomes):
        await connections.close_circuit(connection, ledger.name)


def _row(each: Outcome) -> dict[str, Any]:
    found, after = each.found, each.next
    adopted = after.state == "posted" and each.how == "adopted"
    return {
        "delivery_id": each.claimed.delivery_id,
        "lease": each.claimed.lease,
        "state": after.state,
        "wait": after.wait_seconds,
        "outcome_unknown": after.outcome_unknown,
        "tries": after.tries,
        "code": after.code or ("adopted" if adopted else ""),
        "message": after.message.replace("\0", ""),
        "fix": after.fix,
        "remote_id": found.remote_id if found else None,
        "remote_number": found.remote_number if found else None,
        "remote_state": ("draft" if found.state == "draft" else "posted") if found else None,
        "steps": each.steps,
        "duration_ms": int((time.monotonic() - each.began) * 1000) if each.began else 0,
    }
