"""The lines that take the places of replaced ones on drafts."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run
from shared.sql import named_queries

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))


async def replaced_on(connection: AsyncConnection) -> list[int]:
    """Return the drafts whose lines were replaced in this transaction."""
    query = "SELECT DISTINCT draft_id FROM invoicer.replaced_draft_line ORDER BY draft_id"
    return [row.draft_id for row in await rows(connection, query)]


async def place(connection: AsyncConnection) -> int:
    """Move successors of replaced lines to their places on the drafts; return how many."""
    return await run(connection, _QUERIES["place"])


async def take_off(connection: AsyncConnection, pay_line_ids: Sequence[int]) -> None:
    """Move lines from their drafts to the open ones; `replaced_on` then names the drafts."""
    await run(connection, _QUERIES["take_off"], ids=list(pay_line_ids))
