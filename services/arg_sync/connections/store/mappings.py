"""The code mapping of a ledger: our codes and the codes of the accounting system.

What the last test found wrong with it is stored beside it; the invoicer reads that.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.rules import Codes
from services.arg_sync.ledgers.codes import CodeProblem, CompanyCodes
from shared.database import rows, run


async def codes_for(connection: AsyncConnection, ledger: str) -> Codes:
    """Return the code mapping of a ledger, with the defaults of its billing company."""
    found = await rows(
        connection,
        "SELECT what, code, remote FROM arg_sync.mapped_code WHERE ledger = :ledger",
        ledger=ledger,
    )
    return {(row.what, row.code): row.remote for row in found}


async def company_codes(connection: AsyncConnection, billing_company: str) -> CompanyCodes:
    """Return the currencies, tax codes and catalog items of a billing company."""
    found = await rows(
        connection,
        "SELECT what, code FROM fee_realizer.company_code WHERE billing_company = :company",
        company=billing_company,
    )
    by_kind: dict[str, set[str]] = {}
    for row in found:
        by_kind.setdefault(row.what, set()).add(row.code)
    return CompanyCodes(*(frozenset(by_kind.get(kind, ())) for kind in ("currency", "tax", "item")))


async def put_problems(
    connection: AsyncConnection, ledger: str, problems: Sequence[CodeProblem]
) -> None:
    """Replace what is wrong with a mapping."""
    await run(
        connection, "DELETE FROM arg_sync.mapping_problem WHERE ledger = :ledger", ledger=ledger
    )
    await run(
        connection,
        "INSERT INTO arg_sync.mapping_problem (ledger, what, code, remote, message)"
        " SELECT :ledger, what, code, remote, message"
        " FROM unnest(CAST(:whats AS text[]), CAST(:codes AS text[]), CAST(:remotes AS text[]),"
        "   CAST(:messages AS text[])) AS p(what, code, remote, message)"
        " ON CONFLICT DO NOTHING",
        ledger=ledger,
        whats=[each.what for each in problems],
        codes=[each.code for each in problems],
        remotes=[each.remote for each in problems],
        messages=[each.message for each in problems],
    )


async def forget_problems(
    connection: AsyncConnection, ledger: str, mapped: Sequence[tuple[str, str]]
) -> None:
    """Drop the problems of rows (what, code) that were mapped anew; the next test judges them."""
    await run(
        connection,
        "DELETE FROM arg_sync.mapping_problem p"
        " USING unnest(CAST(:whats AS text[]), CAST(:codes AS text[])) AS m(what, code)"
        " WHERE p.ledger = :ledger AND p.what = m.what AND p.code = m.code",
        ledger=ledger,
        whats=[what for what, _ in mapped],
        codes=[code for _, code in mapped],
    )


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
