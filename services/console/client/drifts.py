"""What reconciliation found: runs and the drifts that are open, with what would fix each."""

from services.console.client.books import ReadConnection, Row, found


async def reconciliation(connection: ReadConnection, run_id: int) -> Row:
    """A run: how far it is, and what it says."""
    (row,) = await found(
        connection,
        "SELECT run_id, ledger, actor, state, message, documents, unread, ended_at FROM arg_sync.reconciliation WHERE run_id = :id",
        id=run_id,
    )
    return row


async def open_drifts(connection: ReadConnection, ledger: str) -> list[Row]:
    """The drifts of a connection that the last look still found."""
    return await found(
        connection,
        "SELECT drift_id, invoice_number, code, remote_id, message, fix, found_at FROM arg_sync.drift WHERE ledger = :ledger AND gone_at IS NULL"
        " ORDER BY invoice_number, code, remote_id",
        ledger=ledger,
    )
