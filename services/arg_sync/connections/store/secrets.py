"""Sealed secrets of connections, and the claim to renew them.

Each function runs in a short transaction of its own, because a renewal takes network calls.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import FROM_NOW
from shared.database import rows, run

RENEWING_SECONDS = 60


async def sealed_for(connection: AsyncConnection, ledger: str) -> tuple[int, str] | None:
    """Return version and sealed text, or None if the connection has no secrets."""
    found = await rows(
        connection,
        "SELECT version, sealed FROM arg_sync.secret WHERE ledger = :ledger",
        ledger=ledger,
    )
    return (found[0].version, found[0].sealed) if found else None


async def claim_renewal(connection: AsyncConnection, ledger: str, version: int) -> bool:
    """Claim the renewal of this version for a minute; False if another process has the claim."""
    return bool(
        await run(
            connection,
            f"UPDATE arg_sync.secret SET renewing_until = {FROM_NOW}"
            " WHERE ledger = :ledger AND version = :version"
            " AND coalesce(renewing_until < clock_timestamp(), true)",
            ledger=ledger,
            version=version,
            seconds=RENEWING_SECONDS,
        )
    )


async def save_sealed(connection: AsyncConnection, ledger: str, version: int, sealed: str) -> bool:
    """Replace this version by the next one; False if another process already did."""
    return bool(
        await run(
            connection,
            "UPDATE arg_sync.secret SET version = version + 1, sealed = :sealed,"
            " renewing_until = NULL WHERE ledger = :ledger AND version = :version",
            ledger=ledger,
            version=version,
            sealed=sealed,
        )
    )


async def put_sealed(connection: AsyncConnection, ledger: str, sealed: str) -> None:
    """Store the secrets that an operator gave, whatever is stored."""
    await run(
        connection,
        "INSERT INTO arg_sync.secret (ledger, version, sealed) VALUES (:ledger, 1, :sealed)"
        " ON CONFLICT (ledger) DO UPDATE"
        " SET version = secret.version + 1, sealed = excluded.sealed, renewing_until = NULL",
        ledger=ledger,
        sealed=sealed,
    )


async def drop_sealed(connection: AsyncConnection, ledger: str) -> None:
    """Delete the secrets of a disconnected ledger."""
    await run(connection, "DELETE FROM arg_sync.secret WHERE ledger = :ledger", ledger=ledger)
