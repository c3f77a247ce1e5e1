"""Facts in PostgreSQL: stub rows to lock, and the queue of documents that depend on changed facts.

A fact is a requirement, a catalog item or a billing company. A document that waits for a fact locks
a stub row of it, so that the fact cannot arrive unnoticed while the document is being held.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
KEY_COLUMNS = {
    "requirement": "requirement_id",
    "catalog_item": "item_id",
    "billing_company": "billing_company",
    "retainer": "requirement_id",
    "engagement": "engagement_id",
    "supplier": "supplier_id",
}


Value = TypeVar("Value")


async def rows_of(
    connection: AsyncConnection, statement: str, ids: Collection[str], **values: Any
) -> list[Any]:
    """Return the rows that `statement` selects by the array parameter `ids`; none without ids."""
    return await rows(connection, statement, ids=sorted(ids), **values) if ids else []


def grouped(found: Iterable[Any], make: Callable[..., Value]) -> dict[str, list[Value]]:
    """Group rows by their first column; `make` builds a value from the other columns."""
    groups: dict[str, list[Value]] = {}
    for row in found:
        groups.setdefault(row[0], []).append(make(*row[1:]))
    return groups


async def add_stubs(connection: AsyncConnection, table: str, ids: Iterable[str]) -> None:
    """Insert a stub row for each fact or retainer that has no row, so that it can be locked."""
    key = KEY_COLUMNS[table]
    await run(
        connection,
        f"INSERT INTO fee_realizer.{table} ({key})"
        " SELECT id FROM unnest(CAST(:ids AS text[])) AS id"
        f" WHERE NOT EXISTS (SELECT FROM fee_realizer.{table} t WHERE t.{key} = id)"
        " ORDER BY id ON CONFLICT DO NOTHING",
        ids=sorted(set(ids)),
    )


async def queue_dependents(
    connection: AsyncConnection, fact_kind: str, fact_ids: Sequence[str], cause: str
) -> int:
    """Queue the documents that name these facts for pricing; return how many.

    The caller holds the facts locked FOR UPDATE.
    """
    return await run(
        connection,
        QUERIES["queue_dependents"],
        kind=fact_kind,
        ids=list(fact_ids),
        cause=cause,
    )


async def queue_company(connection: AsyncConnection, billing_company: str, cause: str) -> int:
    """Queue the documents of a billing company or its requirements for pricing; return how many."""
    return await run(
        connection,
        QUERIES["queue_company"],
        company=billing_company,
        cause=cause,
    )
