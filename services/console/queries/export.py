"""What `backoffice export` reads: facts of the ATS in force, settings, and all closed lines."""

from collections.abc import AsyncIterator
from typing import Any

from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch, with_positions
from shared.stored import as_json

LINES_AT_ONCE = 1_000


async def fact_bodies(connection: ReadConnection) -> dict[str, list[str]]:
    """The JSON of every node, requirement, placement, charge, engagement and supplier in force.

    By topic; engagements and suppliers where there are any. Nodes come from the highest level down.
    Timesheets are left out: the ATS sends them again.
    """
    nodes = await fetch(
        connection,
        "SELECT CAST(body AS text) AS body FROM invoicer.console_billto_node"
        " ORDER BY level, node_id",
    )
    requirements = await fetch(
        connection,
        "SELECT CAST(body AS text) AS body FROM fee_realizer.console_requirement"
        " ORDER BY requirement_id",
    )
    found = {
        "billto-changed": [row["body"] for row in nodes],
        "requirement-changed": [row["body"] for row in requirements],
    }
    for topic, kind in (("placement-created", "placement"), ("charge-added", "charge")):
        rows = await fetch(
            connection,
            "SELECT CAST(r.body AS text) AS body FROM fee_realizer.console_document d"
            " JOIN fee_realizer.console_source_revision r"
            " USING (document_kind, document_id, source_id, revision)"
            " WHERE document_kind = :kind ORDER BY document_id",
            kind=kind,
        )
        found[topic] = [row["body"] for row in rows]
    for noun in ("engagement", "supplier"):
        rows = await fetch(
            connection,
            f"SELECT CAST(body AS text) AS body FROM fee_realizer.console_{noun}"
            f" ORDER BY {noun}_id",
        )
        if rows:
            found[f"{noun}-changed"] = [row["body"] for row in rows]
    return found


async def operator_rates(connection: ReadConnection) -> list[Row]:
    """The bill rates in force that were set by command."""
    return await fetch(
        connection,
        "SELECT requirement_id, time_type, effective_from, unit_price AS bill_rate"
        " FROM fee_realizer.console_bill_rate WHERE source = 'command' AND until_book IS NULL"
        " ORDER BY requirement_id, time_type, effective_from",
    )


async def assignments(connection: ReadConnection) -> list[dict[str, Any]]:
    """What is assigned from each date on, as fields of the command set-assignment.

    One that ended before it was due is left out: it could not be set again. What a later version
    follows keeps its own end, because the later one replaces the rest of it.
    """
    rows = await fetch(connection, SQL["assignments_set"])
    found: list[dict[str, Any]] = []
    for row in rows:
        schedule = as_json(row["schedule"])
        months = {1: "monthly_day", 3: "quarterly_day"}.get(schedule.get("months"))
        due = {months: schedule["day"]} if months else {"dates": schedule["dates"]}
        names = ("assignment_id", "billing_company", "from_date")
        until = row["last_date" if row["is_last"] else "until_date"]
        found.append(
            {name: row[name] for name in names}
            | as_json(row["terms"])
            | due
            | {"until_date": until}
        )
    return found


async def retainer_decisions(connection: ReadConnection) -> list[Row]:
    """What operators decided about retainers, as fields of the command settle-retainer.

    Only whole decisions: the command decides about all that no fee takes.
    """
    return await fetch(
        connection,
        "SELECT requirement_id, CASE WHEN kept > 0 THEN 'keep' ELSE 'credit' END AS excess"
        " FROM fee_realizer.console_retainer"
        " WHERE undecided = 0 AND (kept > 0) <> (credited > 0) ORDER BY requirement_id",
    )


async def last_numbers(connection: ReadConnection) -> list[Row]:
    """The last number of every series that has one; not those of opening data."""
    return await fetch(
        connection,
        "SELECT billing_company, series AS series_prefix, next_number - 1 AS last_number, last_date"
        " FROM invoicer.console_number_series WHERE series <> 'opening:' AND next_number > 1"
        " ORDER BY billing_company, series",
    )


async def unapplied_payments(connection: ReadConnection) -> list[Row]:
    """What is unapplied of received payments, as payments of that amount."""
    return await fetch(
        connection,
        "SELECT billing_company, account_name, check_id, received_on, bank, currency,"
        " unapplied AS amount FROM invoicer.console_received_payment WHERE unapplied > 0"
        " ORDER BY billing_company, received_on, account_name, check_id, recorded_at",
    )


async def billed_lines(connection: ReadConnection) -> AsyncIterator[dict[str, Any]]:
    """The lines of all closed documents as opening data, in the order in which they closed."""
    sql, values = with_positions(SQL["billed_lines"], {})
    async for row in connection.cursor(sql, *values, prefetch=LINES_AT_ONCE):
        yield dict(row)
