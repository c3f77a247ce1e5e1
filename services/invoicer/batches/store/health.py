"""What the health check looks at, read after the selection: counts and the first ids, never whole tables."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.findings import MOST_IDS
from services.invoicer.batches.rules.health import VERY_LATE_DAYS
from services.invoicer.batches.rules.health_snapshot import NONE, CountedIds
from shared.database import rows


async def counts_out(connection: AsyncConnection, reason: str, by: str) -> dict[str, int]:
    """Lines that are out for a reason, per node or tax code (`by` is a column)."""
    query = f"""
        SELECT CAST({by} AS text) AS name, count(*) AS lines FROM selected_line k JOIN line_location s ON s.location_no = k.location_no
        WHERE k.exclusion_reason = :reason GROUP BY 1 ORDER BY 1"""
    return {
        row.name: row.lines for row in await rows(connection, query, reason=reasons.number(reason))
    }


async def nodes_out(connection: AsyncConnection, reason: str) -> dict[str, int]:
    """Lines per billto node that are out for a reason."""
    return await counts_out(connection, reason, "s.node")


async def tax_codes_out(connection: AsyncConnection) -> dict[str, int]:
    """Lines per tax code without a rate."""
    return await counts_out(connection, reasons.NO_TAX_RATE, "k.tax_code")


async def lines_out(connection: AsyncConnection, reason: str) -> CountedIds:
    """Lines that are out for a reason."""
    return await _counted_ids(
        connection,
        "SELECT pay_line_id AS id FROM selected_line WHERE exclusion_reason = :reason",
        reason=reasons.number(reason),
    )


async def very_late(connection: AsyncConnection, cut_off: date) -> CountedIds:
    """Lines that are in with work long before the cut-off."""
    query = "SELECT pay_line_id AS id FROM selected_line WHERE exclusion_reason = 0 AND week_ending < :before AND corrects IS NULL"
    return await _counted_ids(connection, query, before=cut_off - timedelta(days=VERY_LATE_DAYS))


async def one_name_two_addresses(connection: AsyncConnection) -> list[str]:
    """Account Names of the selection that stand on nodes with different details."""
    query = """
        SELECT n.account_name FROM invoicer.billto_node n
        WHERE n.account_name IN (SELECT account_name FROM line_location)
        GROUP BY n.account_name HAVING count(DISTINCT (n.name, n.address, n.tax_id)) > 1 ORDER BY n.account_name"""
    return [row[0] for row in await rows(connection, query)]


async def hierarchy(connection: AsyncConnection) -> tuple[CountedIds, CountedIds, int]:
    """Nodes whose parent is not of a higher level; nodes that wait for their parent; nodes without lines that nobody could be invoiced for."""
    wrong = await _counted_ids(
        connection,
        "SELECT n.node_id AS id FROM invoicer.billto_node n JOIN invoicer.billto_node p ON p.node_id = n.parent_id WHERE p.level >= n.level",
    )
    unknown = await _counted_ids(
        connection,
        "SELECT n.node_id AS id FROM invoicer.billto_node n LEFT JOIN invoicer.billto_node p ON p.node_id = n.parent_id"
        " WHERE n.parent_id IS NOT NULL AND p.node_id IS NULL AND n.account_name = ''",
    )
    idle = await rows(
        connection,
        "SELECT count(*) FROM invoicer.billto_node n WHERE n.account_name = '' AND n.level = 3 AND NOT EXISTS (SELECT FROM line_location s WHERE s.node = n.node_id)"
        " AND NOT EXISTS (SELECT FROM invoicer.billto_node p LEFT JOIN invoicer.billto_node g ON g.node_id = p.parent_id AND g.level < p.level"
        " WHERE p.node_id = n.parent_id AND p.level < n.level AND (p.account_name <> '' OR g.account_name <> ''))",
    )
    return wrong, unknown, idle[0][0]


async def held(connection: AsyncConnection, billing_company: str) -> Mapping[str, CountedIds]:
    """Held documents of the company, and those whose company nobody knows, by code."""
    query = f"""
        SELECT hold_code, count(*) AS documents, (array_agg(document_id ORDER BY document_id))[1:{MOST_IDS}] AS ids
        FROM fee_realizer.held_document WHERE billing_company IN (:company, '') GROUP BY hold_code"""
    return {
        row.hold_code: CountedIds(row.documents, tuple(row.ids))
        for row in await rows(connection, query, company=billing_company)
    }


async def in_flight(connection: AsyncConnection, billing_company: str) -> CountedIds:
    """Documents whose latest statement is not settled yet and names the company, or names none because it is worth nothing."""
    query = """
        SELECT l.document_id AS id FROM fee_realizer.latest_realization l
        LEFT JOIN invoicer.settled_document s ON s.document_kind = l.document_kind AND s.document_id = l.document_id
        WHERE l.realization_no > coalesce(s.realization_no, 0) AND s.stale_realization_no IS NULL
          AND (jsonb_array_length(CAST(l.body AS jsonb) -> 'lines') = 0
               OR CAST(l.body AS jsonb) -> 'lines' @> jsonb_build_array(jsonb_build_object('billing_company', CAST(:company AS text))))"""
    return await _counted_ids(connection, query, company=billing_company)


async def stale(connection: AsyncConnection) -> CountedIds:
    """Documents that are being priced again."""
    return await _counted_ids(
        connection,
        "SELECT document_id AS id FROM invoicer.settled_document WHERE stale_realization_no IS NOT NULL",
    )


async def rate_impact(connection: AsyncConnection, billing_company: str) -> CountedIds:
    """Timesheets of the company with lines on documents that keep another price than the one in force: fee_realizer keeps count."""
    return await _counted_ids(
        connection,
        "SELECT DISTINCT document_id AS id FROM fee_realizer.price_impact WHERE billing_company = :company",
        company=billing_company,
    )


async def dead_letters(connection: AsyncConnection) -> CountedIds:
    """Dead letters of the invoicer that are open."""
    return await _counted_ids(
        connection, "SELECT dead_letter_id AS id FROM invoicer.dead_letter WHERE state = 'open'"
    )


async def _counted_ids(connection: AsyncConnection, query: str, /, **values: Any) -> CountedIds:
    """Counts what a statement finds and keeps the first ids."""
    found = await rows(
        connection,
        f"SELECT CAST(id AS text) AS id, count(*) OVER () AS number FROM ({query}) f ORDER BY f.id LIMIT {MOST_IDS}",
        **values,
    )
    return CountedIds(found[0].number, tuple(row.id for row in found)) if found else NONE
