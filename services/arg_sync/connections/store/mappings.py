"""The code mapping of a ledger: our codes and the codes of the accounting system."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.rules import Codes
from shared.database import rows, run


async def codes_for(connection: AsyncConnection, ledger: str) -> Codes:
    """Return the code mapping of a ledger."""
    found = await rows(
        connection,
        "SELECT what, code, remote FROM arg_sync.mapping WHERE ledger = :ledger",
        ledger=ledger,
    )
    return {(row.what, row.code): row.remote for row in found}


async def put_mapping(
    connection: AsyncConnection, ledger: str, mapped: Sequence[tuple[str, str, str]], actor: str
) -> None:
    """Add or replace mapped codes, given as (what, code, remote)."""
    await run(
        connection,
        "INSERT INTO arg_sync.mapping (ledger, what, code, remote, actor, mapped_at)"
        " SELECT :ledger, what, code, remote, :actor, now()"
        " FROM unnest(CAST(:whats AS text[]), CAST(:codes AS text[]), CAST(:remotes AS text[]))"
        "   AS m(what, code, remote)"
        " ON CONFLICT (ledger, what, code) DO UPDATE"
        " SET remote = excluded.remote, actor = excluded.actor, mapped_at = excluded.mapped_at",
        ledger=ledger,
        actor=actor,
        whats=[what for what, _, _ in mapped],
        codes=[code for _, code, _ in mapped],
        remotes=[remote for _, _, remote in mapped],
    )
