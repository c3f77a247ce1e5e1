"""Assignments: what nodes are billed for on due dates, as it is set from each date on."""

from services.console.queries.snapshot import ReadConnection, Row, fetch_page
from shared.stored import as_json


async def assignments(
    connection: ReadConnection, billing_company: str | None, limit: int
) -> tuple[list[Row], int]:
    """What is in force, by assignment and date; and how many rows there are in all."""
    rows, total = await fetch_page(
        connection,
        "assignment_id, billing_company, from_date, last_date, schedule, terms, occurrences,"
        " realized_until, held, unconfirmed, actor, reason",
        "fee_realizer.console_assignment"
        " WHERE CAST(:company AS text) IS NULL OR billing_company = :company",
        "assignment_id, from_date",
        limit,
        company=billing_company,
    )
    return [
        as_json(row.pop("terms")) | row | {"schedule": as_json(row["schedule"])} for row in rows
    ], total
