"""What `backoffice export` reads: facts of the ATS in force, settings, and all closed lines."""

from collections.abc import AsyncIterator
from typing import Any

from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch, with_positions

LINES_AT_ONCE = 1_000


async def fact_bodies(connection: ReadConnection) -> dict[str, list[str]]:
    """The JSON of every node, requirement, placement and charge in force, by topic.

    Nodes come from the highest level down. Timesheets are left out: the ATS sends them again.
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
    return found


async def operator_rates(connection: ReadConnection) -> list[Row]:
    """The bill rates in force that were set by command."""
    return await fetch(
        connection,
        "SELECT requirement_id, time_type, effective_from, unit_price AS bill_rate"
        " FROM fee_realizer.console_bill_rate WHERE source = 'command' AND until_book IS NULL"
        " ORDER BY requirement_id, time_type, effective_from",
    )


async def last_numbers(connection: ReadConnection) -> list[Row]:
    """The last number of every series that has one; not those of opening data."""
    return await fetch(
        connection,
        "SELECT billing_company, series AS series_prefix, next_number - 1 AS last_number, last_date"
        " FROM invoicer.console_number_series WHERE series <> 'opening:' AND next_number > 1"
        " ORDER BY billing_company, series",
    )


async def billed_lines(connection: ReadConnection) -> AsyncIterator[dict[str, Any]]:
    """The lines of all closed documents as opening data, in the order in which they closed."""
    sql, values = with_positions(SQL["billed_lines"], {})
    async for row in connection.cursor(sql, *values, prefetch=LINES_AT_ONCE):
        yield dict(row)
