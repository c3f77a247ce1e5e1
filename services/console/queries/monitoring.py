"""What those who watch the system look at: outbox, dead letters, deliveries, watermark.

All of it is in the database, so it is shown although a worker is down.
"""

from datetime import timedelta
from typing import Any

from services.console.queries.companies import companies_today
from services.console.queries.dead_letters import SERVICES
from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch


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


def lag_totals(lag: dict[str, Any]) -> dict[str, Any]:
    """Over all groups now: records to read, the oldest of them, throughput, groups behind."""
    groups = lag["groups"]
    known = [group for group in groups if group["behind"] is not None]
    return {
        "known": bool(known),
        "behind": sum(group["behind"] for group in known),
        "groups_behind": sum(1 for group in known if group["behind"]),
        "groups": len(groups),
        "seconds": max((group["seconds"] or 0.0 for group in known), default=0.0),
        "in": sum(group["in"] or 0.0 for group in known),
        "out": sum(group["out"] or 0.0 for group in known),
    }
