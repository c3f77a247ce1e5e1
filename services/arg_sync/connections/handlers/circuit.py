"""What a failure means for a connection: stop it, or open its circuit.

Each function first checks that no operator connected the ledger anew meanwhile: a result of the
old settings says nothing about the new ones.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.rules import Jitter, after_connection_failure
from services.arg_sync.connections.store import connections
from services.arg_sync.connections.store.connections import LedgerConnection
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
        await connections.set_circuit(connection, ledger.name, circuit, message)


async def stop_connection(
    connection: AsyncConnection, ledger: LedgerConnection, message: str
) -> None:
    """Stop a connection whose credentials or settings are refused."""
    now = await lock_unchanged(connection, ledger)
    if now is not None and now.state == "connected":
        fix = f"give it a valid key with `backoffice ledger connect {ledger.name} ...`"
        await connections.set_state(connection, ledger.name, "stopped", f"{message}; {fix}")
        telemetry.log().error("connection stopped", ledger=ledger.name)
