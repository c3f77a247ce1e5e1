"""Customer ids in the ledgers. One worker at a time looks up or creates a customer."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import FROM_NOW
from shared.database import rows, run

CustomerKey = tuple[str, str]
"""Account Name and currency: in some ledgers a customer has one currency."""


async def known_customers(
    connection: AsyncConnection, ledger: str, generation: int, names: Sequence[str]
) -> Mapping[CustomerKey, str]:
    """Return the ids found since the connection was last changed."""
    found = await rows(
        connection,
        "SELECT account_name, currency, remote_id FROM arg_sync.customer"
        " WHERE ledger = :ledger AND generation = :generation AND remote_id IS NOT NULL"
        " AND account_name = ANY(CAST(:names AS text[]))",
        ledger=ledger,
        generation=generation,
        names=list(names),
    )
    return {(row.account_name, row.currency): row.remote_id for row in found}


async def claim_customer(
    connection: AsyncConnection, ledger: str, generation: int, key: CustomerKey, seconds: float
) -> float | None:
    """Claim a customer for these seconds; None if it is claimed now.

    If another worker looks it up: for how many more seconds it may do so. 0 if it is found.
    """
    of_key = {"ledger": ledger, "name": key[0], "currency": key[1]}
    if await run(
        connection,
        "INSERT INTO arg_sync.customer AS c"
        " (ledger, account_name, currency, generation, claimed_until)"
        f" VALUES (:ledger, :name, :currency, :generation, {FROM_NOW})"
        " ON CONFLICT (ledger, account_name, currency) DO UPDATE"
        " SET generation = excluded.generation, claimed_until = excluded.claimed_until,"
        " remote_id = NULL"
        " WHERE (c.remote_id IS NULL OR c.generation <> excluded.generation)"
        " AND c.claimed_until < clock_timestamp()",
        generation=generation,
        seconds=seconds,
        **of_key,
    ):
        return None
    found = await rows(
        connection,
        "SELECT CAST(extract(epoch FROM claimed_until - clock_timestamp()) AS float8) AS seconds"
        " FROM arg_sync.customer WHERE ledger = :ledger AND account_name = :name"
        " AND currency = :currency",
        **of_key,
    )
    return max([0.0, *(float(row.seconds) for row in found)])


async def release_customer(
    connection: AsyncConnection,
    ledger: str,
    generation: int,
    key: CustomerKey,
    remote_id: str | None,
) -> None:
    """End the claim and store the id. None means that the customer was not created."""
    await run(
        connection,
        "UPDATE arg_sync.customer SET remote_id = :remote_id, claimed_until = clock_timestamp()"
        " WHERE ledger = :ledger AND account_name = :name AND currency = :currency"
        " AND generation = :generation AND remote_id IS NULL",
        ledger=ledger,
        name=key[0],
        currency=key[1],
        generation=generation,
        remote_id=remote_id,
    )


async def forget_customer(connection: AsyncConnection, ledger: str, account_name: str) -> None:
    """Delete the stored id, so that the next delivery looks the customer up again."""
    await run(
        connection,
        "UPDATE arg_sync.customer SET remote_id = NULL WHERE ledger = :ledger"
        " AND account_name = :name AND claimed_until < clock_timestamp()",
        ledger=ledger,
        name=account_name,
    )
