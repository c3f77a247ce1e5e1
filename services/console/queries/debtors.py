"""Time groups, and the terms of debtors version by version."""

from datetime import timedelta

from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch
from shared.stored import as_json


async def time_groups(connection: ReadConnection) -> list[Row]:
    """Every billing cycle, with its custom periods and how many debtors have it by their newest
    terms.
    """
    rows = await fetch(connection, SQL["time_groups"])
    for row in rows:
        days = zip(row.pop("first_days") or (), row.pop("last_days") or (), strict=True)
        row["periods"] = [{"first_day": first, "last_day": last} for first, last in days]
    return rows


async def debtor_terms(
    connection: ReadConnection, billing_company: str, account_name: str | None = None
) -> list[Row]:
    """Every version of the terms of one debtor, or of all, each with its last day (None: no
    end).
    """
    rows = await fetch(connection, SQL["debtor_terms"], company=billing_company, name=account_name)
    for row in rows:
        next_from = row.pop("next_from")
        row["allowances"] = as_json(row["allowances"])
        row["to_date"] = None if next_from is None else next_from - timedelta(days=1)
    return rows
