"""Time groups: billing cycles with a name, that debtors of all billing companies may have."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.cycles import Span, TimeGroup
from shared.database import rows, run


async def time_group_names(connection: AsyncConnection) -> frozenset[str]:
    """The names that there are."""
    return frozenset(
        row[0] for row in await rows(connection, "SELECT time_group FROM invoicer.time_group")
    )


async def time_groups_for(
    connection: AsyncConnection, names: Iterable[str]
) -> dict[str, TimeGroup]:
    """Those of the named time groups that exist."""
    wanted = sorted({name for name in names if name})
    if not wanted:
        return {}
    query = """
        SELECT time_group, cycle, ends_on, anchor, first_days, last_days FROM invoicer.time_group
        WHERE time_group = ANY(CAST(:names AS text[])) ORDER BY time_group"""
    return {row.time_group: _group(row) for row in await rows(connection, query, names=wanted)}


def _group(row: Any) -> TimeGroup:
    periods = tuple(
        Span(first, last)
        for first, last in zip(row.first_days or (), row.last_days or (), strict=True)
    )
    return TimeGroup(row.time_group, row.cycle, row.ends_on, row.anchor, periods)


async def save_time_group(connection: AsyncConnection, group: TimeGroup) -> None:
    """Puts a definition in place of the one before."""
    await run(
        connection,
        "INSERT INTO invoicer.time_group (time_group, cycle, ends_on, anchor, first_days, last_days)"
        " VALUES (:name, :cycle, :ends_on, :anchor, CAST(:first_days AS date[]), CAST(:last_days AS date[]))"
        " ON CONFLICT (time_group) DO UPDATE SET cycle = excluded.cycle, ends_on = excluded.ends_on, anchor = excluded.anchor,"
        " first_days = excluded.first_days, last_days = excluded.last_days",
        name=group.name,
        cycle=group.cycle,
        ends_on=group.ends_on,
        anchor=group.anchor,
        first_days=[each.first_day for each in group.periods] or None,
        last_days=[each.last_day for each in group.periods] or None,
    )
