"""Runs of reconciliation, and the differences that are open, each with its fix."""

from services.console.queries.snapshot import ReadConnection, Row, fetch


async def reconciliation(connection: ReadConnection, run_id: int) -> Row:
    """A run: its state, its message and its progress."""
    (row,) = await fetch(
        connection, "SELECT * FROM arg_sync.console_reconciliation WHERE run_id = :id", id=run_id
    )
    return row


async def open_drifts(connection: ReadConnection, ledger: str) -> list[Row]:
    """The differences of a connection that its last reconciliation found."""
    return await fetch(
        connection,
        "SELECT drift_id, invoice_number, code, remote_id, message, fix, found_at FROM"
        " arg_sync.console_open_drift"
        " WHERE ledger = :ledger ORDER BY invoice_number, code, remote_id",
        ledger=ledger,
    )
