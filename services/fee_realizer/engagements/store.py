"""Engagements and suppliers in PostgreSQL, and the engagement of each placement in force."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.engagements.rules import EngagementState, PlacedEngagement
from services.fee_realizer.facts.store import add_stubs, rows_of
from shared.database import by_column, insert_rows, kinds_of, rows, run, unnested
from shared.events.ats import EngagementChanged
from shared.sql import named_queries

QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
Table = Literal["engagement", "supplier"]
PLACED = kinds_of(
    "placement_id text, requirement_id text, worker_id text, start_date date, end_date date,"
    " engagement_id text, named boolean"
)
WorkerKey = tuple[str, str]
"""The id of a requirement and that of a worker on it."""


class NewState(NamedTuple):
    """The newest state of an engagement or a supplier; no body: only `closed` changes."""

    subject_id: str
    revision: int
    closed: bool
    body: str | None


async def lock_revisions(
    connection: AsyncConnection, table: Table, ids: Iterable[str]
) -> dict[str, int]:
    """Lock engagements or suppliers for change, in the order of their ids; insert missing stubs.

    Returns the newest revision of each; -1 for one that the ATS has not sent.
    """
    wanted = sorted(set(ids))
    await add_stubs(connection, table, wanted)
    found = await rows_of(
        connection,
        f"SELECT {table}_id, revision FROM fee_realizer.{table}"
        f" WHERE {table}_id = ANY(CAST(:ids AS text[])) ORDER BY {table}_id FOR UPDATE",
        wanted,
    )
    return {row[0]: row.revision for row in found}


async def revision_bodies(
    connection: AsyncConnection, table: Table, keys: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], str]:
    """Return the stored revisions among these, as JSON text."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    kinds = "subject_id text, revision bigint"
    return {
        (row.subject_id, row.revision): row.body
        for row in await rows(
            connection,
            f"SELECT s.subject_id, s.revision, CAST(r.body AS text) AS body FROM {unnested(kinds)}"
            f" JOIN fee_realizer.{table}_revision r"
            f" ON r.{table}_id = s.subject_id AND r.revision = s.revision",
            **by_column(kinds, wanted),
        )
    }


async def add_revisions(
    connection: AsyncConnection, table: Table, bodies: Mapping[tuple[str, int], str]
) -> None:
    """Keep the revisions that the ATS sent."""
    await insert_rows(
        connection,
        f"fee_realizer.{table}_revision",
        f"{table}_id text, revision bigint, body jsonb",
        [(*key, body) for key, body in bodies.items()],
    )


async def save_states(
    connection: AsyncConnection, table: Table, states: Sequence[NewState]
) -> None:
    """Write the newest state of engagements or suppliers."""
    if not states:
        return
    kinds = "subject_id text, revision bigint, closed boolean, body text"
    await run(
        connection,
        f"UPDATE fee_realizer.{table} t SET closed = s.closed, revision = s.revision,"
        " known = t.known OR s.body IS NOT NULL, body = coalesce(CAST(s.body AS jsonb), t.body)"
        f" FROM {unnested(kinds)} WHERE t.{table}_id = s.subject_id",
        **by_column(kinds, states),
    )


async def placed_engagements(
    connection: AsyncConnection, workers: Iterable[WorkerKey]
) -> dict[WorkerKey, list[PlacedEngagement]]:
    """Return the placements of these workers on these requirements, with their engagements.

    The caller holds the locks of the requirements.
    """
    wanted = sorted(set(workers))
    if not wanted:
        return {}
    kinds = "requirement_id text, worker_id text"
    found: dict[WorkerKey, list[PlacedEngagement]] = {}
    for row in await rows(
        connection,
        f"SELECT {', '.join(f'p.{name}' for name in PLACED)} FROM {unnested(kinds)}"
        " JOIN fee_realizer.placed_engagement p USING (requirement_id, worker_id)"
        " ORDER BY p.placement_id",
        **by_column(kinds, wanted),
    ):
        placed = PlacedEngagement(*row)
        found.setdefault((placed.requirement_id, placed.worker_id), []).append(placed)
    return found


async def share_engagements(
    connection: AsyncConnection, ids: Iterable[str]
) -> dict[str, EngagementState]:
    """Lock engagements FOR SHARE in the order of their ids, and return them; insert missing stubs.

    A worker that changes an engagement waits for all that price from it.
    """
    wanted = sorted(set(ids))
    statement = (
        "SELECT engagement_id, CASE WHEN known THEN CAST(body AS text) END AS body"
        " FROM fee_realizer.engagement WHERE engagement_id = ANY(CAST(:ids AS text[]))"
        " ORDER BY engagement_id FOR SHARE"
    )
    found = await rows_of(connection, statement, wanted)
    if len(found) < len(wanted):
        await add_stubs(connection, "engagement", wanted)
        found = await rows_of(connection, statement, wanted)
    return {
        row.engagement_id: EngagementState(
            row.engagement_id, row.body and EngagementChanged.model_validate_json(row.body)
        )
        for row in found
    }


async def save_placed(
    connection: AsyncConnection, placed: Sequence[PlacedEngagement], cause: str
) -> int:
    """Write the engagements of placements in force; queue the timesheets that they concern.

    Those are the timesheets of the workers and requirements before and after the change, as far as
    one of their placements names an engagement or the ATS has sent its engagement; returns how
    many. The caller holds the locks of the requirements.
    """
    if not placed:
        return 0
    before = await rows_of(
        connection,
        "SELECT placement_id, requirement_id, worker_id, start_date, end_date, engagement_id, named"
        " FROM fee_realizer.placed_engagement WHERE placement_id = ANY(CAST(:ids AS text[]))",
        {each.placement_id for each in placed},
    )
    stored = {PlacedEngagement(*row) for row in before}
    changed = [each for each in placed if each not in stored]
    if not changed:
        return 0
    ids = {each.placement_id for each in changed}
    earlier = [each for each in stored if each.placement_id in ids]
    await run(connection, QUERIES["queue_timesheets"], **_workers(earlier, cause))
    await insert_rows(
        connection,
        "fee_realizer.placed_engagement",
        PLACED,
        sorted(changed),
        replace="placement_id",
    )
    return await run(connection, QUERIES["queue_timesheets"], **_workers(changed, cause))


def _workers(placed: Iterable[PlacedEngagement], cause: str) -> dict[str, object]:
    keys = sorted({(each.requirement_id, each.worker_id) for each in placed})
    return {
        "requirements": [requirement_id for requirement_id, _ in keys],
        "workers": [worker_id for _, worker_id in keys],
        "cause": cause,
    }


async def queue_engaged(connection: AsyncConnection, ids: Sequence[str], cause: str) -> int:
    """Queue the documents of changed engagements for pricing; return how many.

    They are the documents that name one, the placements that have one, and the timesheets of the
    workers of those placements. The caller holds the engagements locked FOR UPDATE.
    """
    return await run(connection, QUERIES["queue_engaged"], ids=list(ids), cause=cause)
