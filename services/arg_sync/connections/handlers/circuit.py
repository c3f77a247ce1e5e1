"""What a failure means for a connection: stop it, or open its circuit.

Each function first checks that no operator connected the ledger anew meanwhile: a result of the
old settings says nothing about the new ones.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.rules import Jitter, after_connection_failure
from services.arg_sync.connections.store import connections, secrets
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.ledgers.failures import LOGIN_REFUSED, NO_LOGINS, Failure
from shared import telemetry


async def lock_unchanged(
    connection: AsyncConnection, ledger: LedgerConnection
) -> LedgerConnection | None:
    """Lock and return the connection as it is now; None if it was changed or deleted."""
    now = await connections.connection_for(connection, ledger.name, lock=True)
    return now if now is not None and now.generation == ledger.generation else None


async def open_circuit(
    connection: AsyncConnection,
    ledger: LedgerConnection,
    retry_after: float | None,
    message: str,
    jitter: Jitter,
) -> None:
    """Count a failure of the connection; open its circuit if it fails often or asks for a wait."""
    if (now := await lock_unchanged(connection, ledger)) is not None:
        circuit = after_connection_failure(now.failures, retry_after, jitter)
        await connections.STATES.set_circuit(connection, ledger.name, circuit, message)


async def stop_connection(
    connection: AsyncConnection, ledger: LedgerConnection, failed: Failure
) -> None:
    """Stop a connection whose login (`login refused`) or settings (`stopped`) are refused.

    No worker logs in again before an operator changes the connection or tests it.
    """
    now = await lock_unchanged(connection, ledger)
    if now is None or now.state == "disconnected":
        return
    state, what = "stopped", "settings"
    if failed.code not in NO_LOGINS:
        state, what = "login refused", "credentials"
        if failed.code != LOGIN_REFUSED:
            await secrets.refuse_login(connection, ledger.name, failed.message)
    fix = f"connect it with the right {what}: `backoffice ledger connect {ledger.name} ...`"
    await connections.STATES.set_state(connection, ledger.name, state, f"{failed.message}; {fix}")
    telemetry.log().error("connection stopped", ledger=ledger.name, code=failed.code)
