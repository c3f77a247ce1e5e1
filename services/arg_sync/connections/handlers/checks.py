"""Checks of connections that an operator requested."""

from sqlalchemy.ext.asyncio import AsyncEngine

from services.arg_sync.connections.handlers.adapters import OpenAdapter
from services.arg_sync.connections.handlers.circuit import lock_unchanged, stop_connection
from services.arg_sync.connections.store import connections
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.ledgers.failures import Failure


async def run_check(
    engine: AsyncEngine, ledger: LedgerConnection, open_adapter: OpenAdapter
) -> None:
    """Check a connection and store the result. A stopped connection that works is resumed."""
    try:
        message = await open_adapter.call(open_adapter.adapter.check)
        outcome = "ok"
    except Failure as failed:
        outcome, message = "failed", f"{failed.code}: {failed.message}"
    async with engine.begin() as connection:
        if (now := await lock_unchanged(connection, ledger)) is None:
            return  # the changed connection has a check of its own
        await connections.add_check(connection, ledger.name, outcome, message)
        if outcome == "ok":
            await connections.close_circuit(connection, ledger.name)
            if now.state == "stopped":
                await connections.set_state(connection, ledger.name, "connected")


async def fail_to_open(engine: AsyncEngine, ledger: LedgerConnection, failed: Failure) -> None:
    """Stop a connection whose adapter cannot be opened; that fails a requested check, too."""
    async with engine.begin() as connection:
        if ledger.check_requested_at is not None and await lock_unchanged(connection, ledger):
            message = f"{failed.code}: {failed.message}"
            await connections.add_check(connection, ledger.name, "failed", message)
        await stop_connection(connection, ledger, failed.message)
