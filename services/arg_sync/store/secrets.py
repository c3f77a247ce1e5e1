"""Where secrets lie, sealed; and who alone may renew them. Short transactions of their own: a renewal outlives no transaction."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run

RENEWING_SECONDS = 60


async def sealed_for(connection: AsyncConnection, ledger: str) -> tuple[int, str] | None:
    """Version and sealed text; None if the connection has no secrets."""
    found = await rows(
        connection,
        "SELECT version, sealed FROM arg_sync.secret WHERE ledger = :ledger",
        ledger=ledger,
    )
    return (found[0].version, found[0].sealed) if found else None


async def claim_renewal(connection: AsyncConnection, ledger: str, version: int) -> bool:
    """Whether the caller alone may renew this version, for a minute."""
    return bool(
        await run(
            connection,
            "UPDATE arg_sync.secret SET renewing_until = clock_timestamp() + make_interval(secs => :seconds)"
            " WHERE ledger = :ledger AND version = :version AND coalesce(renewing_until < clock_timestamp(), true)",
            ledger=ledger,
            version=version,
            seconds=RENEWING_SECONDS,
        )
    )


async def save_sealed(connection: AsyncConnection, ledger: str, version: int, sealed: str) -> bool:
    """Puts the next version in the place of this one; False if another was faster."""
    return bool(
        await run(
            connection,
            "UPDATE arg_sync.secret SET version = version + 1, sealed = :sealed, renewing_until = NULL WHERE ledger = :ledger AND version = :version",
            ledger=ledger,
            version=version,
            sealed=sealed,
        )
    )
