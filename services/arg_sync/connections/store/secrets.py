"""Sealed secrets of connections, and the claim to renew them.

Each function runs in a short transaction of its own, because a renewal takes network calls.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import FROM_NOW
from shared.database import lock_key, rows, run

RENEWING_SECONDS = 60
KEYS_LOCK = "arg_sync.sealing_key"


async def sealed_for(connection: AsyncConnection, ledger: str) -> tuple[int, str] | None:
    """Return version and sealed text, or None if the connection has no secrets."""
    found = await rows(
        connection,
        "SELECT version, sealed FROM arg_sync.secret WHERE ledger = :ledger",
        ledger=ledger,
    )
    return (found[0].version, found[0].sealed) if found else None


async def lock_sealed(connection: AsyncConnection, ledger: str) -> tuple[str, bool] | None:
    """Lock the secrets; return the sealed text and whether a renewal is claimed, or None."""
    found = await rows(
        connection,
        "SELECT sealed, coalesce(renewing_until > clock_timestamp(), false) AS renewing"
        " FROM arg_sync.secret WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )
    return (found[0].sealed, found[0].renewing) if found else None


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


async def sealing_key_count(connection: AsyncConnection) -> int:
    """Lock out other replicas until the end of the transaction; return the number of keys."""
    await rows(connection, "SELECT pg_advisory_xact_lock(:key)", key=lock_key(KEYS_LOCK))
    return int((await rows(connection, "SELECT count(*) AS n FROM arg_sync.sealing_key"))[0].n)


async def publish_sealing_key(connection: AsyncConnection, key_id: str, public_key: str) -> None:
    """Publish a public key; one that was published before keeps its time."""
    await run(
        connection,
        "INSERT INTO arg_sync.sealing_key (key_id, public_key) VALUES (:key_id, :public_key)"
        " ON CONFLICT DO NOTHING",
        key_id=key_id,
        public_key=public_key,
    )


async def drop_sealed(connection: AsyncConnection, ledger: str) -> None:
    """Delete the secrets of a disconnected ledger."""
    await run(connection, "DELETE FROM arg_sync.secret WHERE ledger = :ledger", ledger=ledger)
