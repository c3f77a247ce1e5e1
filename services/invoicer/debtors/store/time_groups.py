"""Time groups: named billing cycles that debtors of all billing companies can have."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.cycles import Span, TimeGroup
from shared.database import rows, run


async def time_group_names(connection: AsyncConnection) -> frozenset[str]:
    """Return the names of all time groups."""
    found = await rows(connection, "SELECT time_group FROM invoicer.time_group")
    return frozenset(row[0] for row in found)


async def time_groups_for(
    connection: AsyncConnection, names: Iterable[str]
) -> dict[str, TimeGroup]:
    """Return those of the named time groups that exist."""
    query = """
        SELECT time_group, cycle, ends_on, anchor, first_days, last_days FROM invoicer.time_group
        WHERE time_group = ANY(CAST(:names AS text[])) ORDER BY time_group"""
    wanted = sorted({name for name in names if name})
    found = await rows(connection, query, names=wanted) if wanted else []
    return {
        row.time_group: TimeGroup(
            row.time_group,
            row.cycle,
            row.ends_on,
            row.anchor,
            tuple(map(Span, row.first_days or (), row.last_days or ())),
        )
        for row in found
    }


async def save_time_group(connection: AsyncConnection, group: TimeGroup) -> None:
    """Save a time group; it replaces an earlier definition."""
    query = """
        INSERT INTO invoicer.time_group (time_group, cycle, ends_on, anchor, first_days, last_days)
        VALUES (:name, :cycle, :ends_on, :anchor,
          CAST(:first_days AS date[]), CAST(:last_days AS date[]))
        ON CONFLICT (time_group) DO UPDATE SET cycle = excluded.cycle, ends_on = excluded.ends_on,
          anchor = excluded.anchor, first_days = excluded.first_days,
          last_days = excluded.last_days"""
    await run(
        connection,
        query,
        name=group.name,
        cycle=group.cycle,
        ends_on=group.ends_on,
        anchor=group.anchor,
        first_days=[period.first_day for period in group.periods] or None,
        last_days=[period.last_day for period in group.periods] or None,
    )
