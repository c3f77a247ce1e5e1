"""Storing what became of deliveries: rows, attempts, the circuit of the connection, and what is said of it. Several in one transaction."""

import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.handlers.sending import Outcome
from services.arg_sync.rules.backoff import Chances, after_trouble
from services.arg_sync.store import announced, claims, connections
from services.arg_sync.store.connections import Connection
from shared import faults, telemetry
from shared.consumer.protocol import UnitOfWork
from shared.consumer.records import Applied, OutboxId


async def store(
    books: UnitOfWork,
    ledger: Connection,
    outcomes: Sequence[Outcome],
    worker: str,
    chances: Chances,
) -> None:
    """One transaction for all; what is true with it is said."""
    await faults.point("before_outcome")
    said: list[OutboxId] = []

    async def work(connection: AsyncConnection) -> Applied:
        settled = await claims.settle(
            connection, json.dumps([_row(each) for each in outcomes]), worker
        )
        said[:] = [
            announced.of(row.state, row.delivery_id, row.attempt_no)
            for row in settled
            if row.state in ("posted", "refused")
        ]
        await _connection(connection, ledger, outcomes, chances)
        return Applied(publish_now=said)

    await books.transact(work)
    for each in outcomes:
        telemetry.DELIVERIES_ENDED.labels(ledger.kind, each.next.state).inc()
        if each.next.state == "refused":
            telemetry.log().warning(
                "delivery refused",
                ledger=ledger.ledger,
                invoice=each.taken.invoice_number,
                code=each.next.code,
            )


async def _connection(
    connection: AsyncConnection, ledger: Connection, outcomes: Sequence[Outcome], chances: Chances
) -> None:
    """A dead key stops the connection; trouble opens its circuit by and by; a document that got through closes it."""
    failures = [each.failure for each in outcomes if each.failure is not None]
    dead = next((failed for failed in failures if failed.failure == "auth"), None)
    if dead is not None:
        await stop(connection, ledger, dead.message)
        return
    if failures:
        asked = max(failed.retry_after or 0.0 for failed in failures)
        await open_circuit(connection, ledger, asked or None, failures[-1].message, chances)
    elif ledger.failures and any(each.next.state == "posted" for each in outcomes):
        await connections.close_circuit(connection, ledger.ledger)


async def still(connection: AsyncConnection, ledger: Connection) -> Connection | None:
    """The connection as it is now, locked; None if it is gone or an operator connected it anew meanwhile: what the old place said is not about it."""
    now = await connections.connection_for(connection, ledger.ledger, lock=True)
    return now if now is not None and now.generation == ledger.generation else None


async def open_circuit(
    connection: AsyncConnection,
    ledger: Connection,
    retry_after: float | None,
    message: str,
    chances: Chances,
) -> None:
    """One more trouble of a connection: its circuit opens by and by, or for as long as we are asked to wait."""
    if (now := await still(connection, ledger)) is not None:
        await connections.set_circuit(
            connection, ledger.ledger, after_trouble(now.failures, retry_after, chances), message
        )


async def stop(connection: AsyncConnection, ledger: Connection, message: str) -> None:
    """Stops a connection."""
    now = await still(connection, ledger)
    if now is not None and now.state == "connected":
        await connections.set_state(
            connection,
            ledger.ledger,
            "stopped",
            f"{message}; give it a good key with `backoffice ledger connect {ledger.ledger} ...`",
        )
        telemetry.log().error("a connection is stopped", ledger=ledger.ledger)


def _row(each: Outcome) -> dict[str, Any]:
    found, after = each.found, each.next
    code, message = after.code, after.message
    if after.state == "posted" and not code and each.how == "adopted":
        code = "adopted"
    return {
        "delivery_id": each.taken.delivery_id,
        "lease": each.taken.lease,
        "state": after.state,
        "wait": after.wait_seconds,
        "doubt": after.doubt,
        "tries": after.tries,
        "code": code,
        "message": message.replace("\0", ""),
        "fix": after.fix,
        "remote_id": found.remote_id if found else None,
        "remote_number": found.remote_number if found else None,
        "remote_state": ("draft" if found.state == "draft" else "posted") if found else None,
        "steps": each.steps,
        "duration_ms": int((time.monotonic() - each.began) * 1000) if each.began else 0,
    }
