"""Ids of customers in the ledgers: asked once, and by one worker at a time, so that none is made twice."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run

Name = tuple[str, str]
"""Account Name and currency: in some ledgers a customer has one currency."""


async def known_customers(
    connection: AsyncConnection, ledger: str, generation: int, names: Sequence[str]
) -> Mapping[Name, str]:
    """The ids that are known since the connection was last changed."""
    found = await rows(
        connection,
        "SELECT account_name, currency, remote_id FROM arg_sync.customer WHERE ledger = :ledger AND generation = :generation AND remote_id IS NOT NULL"
        " AND account_name = ANY(CAST(:names AS text[]))",
        ledger=ledger,
        generation=generation,
        names=list(names),
    )
    return {(row.account_name, row.currency): row.remote_id for row in found}


async def claim_customer(
    connection: AsyncConnection, ledger: str, generation: int, name: Name, seconds: float
) -> bool:
    """Whether the caller alone may look for this customer, and make it, for so long."""
    return bool(
        await run(
            connection,
            "INSERT INTO arg_sync.customer AS c (ledger, account_name, currency, generation, asked_until)"
            " VALUES (:ledger, :name, :currency, :generation, clock_timestamp() + make_interval(secs => CAST(:seconds AS float8)))"
            " ON CONFLICT (ledger, account_name, currency)"
            " DO UPDATE SET generation = excluded.generation, asked_until = excluded.asked_until, remote_id = NULL"
            " WHERE (c.remote_id IS NULL OR c.generation <> excluded.generation) AND c.asked_until < clock_timestamp()",
            ledger=ledger,
            name=name[0],
            currency=name[1],
            generation=generation,
            seconds=seconds,
        )
    )


async def keep_customer(
    connection: AsyncConnection, ledger: str, generation: int, name: Name, remote_id: str | None
) -> None:
    """Keeps its id; None: it was looked for in vain and nothing was made, others may try."""
    await run(
        connection,
        "UPDATE arg_sync.customer SET remote_id = :remote_id, asked_until = clock_timestamp()"
        " WHERE ledger = :ledger AND account_name = :name AND currency = :currency AND generation = :generation AND remote_id IS NULL",
        ledger=ledger,
        name=name[0],
        currency=name[1],
        generation=generation,
        remote_id=remote_id,
    )


async def forget_customer(connection: AsyncConnection, ledger: str, account_name: str) -> None:
    """It is looked for again: it was mapped anew, or its delivery is tried again."""
    await run(
        connection,
        "UPDATE arg_sync.customer SET remote_id = NULL WHERE ledger = :ledger AND account_name = :name AND asked_until < clock_timestamp()",
        ledger=ledger,
        name=account_name,
    )
