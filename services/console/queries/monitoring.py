"""What those who watch the system look at: outbox, dead letters, deliveries, watermark.

All of it is in the database, so it is shown although a worker is down.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from services.console.queries.companies import companies_today
from services.console.queries.dead_letters import SERVICES
from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch

ADDED_UP: Mapping[str, Any] = {"behind": sum, "seconds": max, "in": sum, "out": sum}
"""How a measure of all groups is made of those of each."""


async def services_in_brief(connection: ReadConnection) -> list[Row]:
    """Each service with its messages to publish, open dead letters and stopped partitions."""
    query = " UNION ALL ".join(
        f"SELECT '{name}' AS service,"
        f" (SELECT count(*) FROM {name}.console_outbox) AS outbox,"
        f" (SELECT count(*) FROM {name}.console_dead_letter WHERE state = 'open') AS dead_letters,"
        f" (SELECT count(*) FROM {name}.console_stopped_partition) AS stopped"
        for name in SERVICES
    )
    return await fetch(connection, query)


async def oldest_undelivered(connection: ReadConnection) -> list[Row]:
    """Of each ledger, and of the e-mails of each billing company, what is not delivered: how many,
    and the oldest of them with its number, state, message and age in seconds.
    """
    rows = await fetch(connection, SQL["oldest_undelivered"])
    return [row | {"age": duration(row["seconds"])} for row in rows]


async def watermarks(connection: ReadConnection) -> list[Row]:
    """The day up to which due lines are announced, of each billing company, its local date, and
    how many days it is behind: 0 unless the scheduler was down.
    """
    todays = await companies_today(connection)
    rows = await fetch(
        connection,
        "SELECT billing_company, to_date FROM scheduler.console_due_watermark ORDER BY 1",
    )
    reached = {row["billing_company"]: row["to_date"] for row in rows}
    return [
        {
            "billing_company": company,
            "watermark": reached.get(company),
            "today": today,
            "behind": max(0, (today - reached.get(company, today)).days),
        }
        for company, today in todays.items()
    ]


def duration(seconds: float | None) -> str | None:
    """A time for people: 4 s, 12 min, 3 h 5 min, 2 d 4 h."""
    if seconds is None:
        return None
    left = timedelta(seconds=int(seconds))
    hours, minutes = left.seconds // 3600, left.seconds % 3600 // 60
    if left.days:
        return f"{left.days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"


def lag_in_all(lag: Mapping[str, Any]) -> dict[str, Any]:
    """All groups together: records to read, age of the oldest, throughput, now and in the last hour
    (see `LagHistory.as_dict`); `groups_behind` of `groups`. None where no group is known.
    """
    groups = lag["groups"]
    return {
        **{name: _over(ADDED_UP[name], [each[name] for each in groups]) for name in ADDED_UP},
        "groups": len(groups),
        "groups_behind": sum(1 for each in groups if each["behind"]),
        "history": {
            name: [
                _over(ADDED_UP[name], point)
                for point in zip(*(each["history"][name] for each in groups), strict=True)
            ]
            for name in ADDED_UP
        },
    }


def _over(together: Any, values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return together(known) if known else None
