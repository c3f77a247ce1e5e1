"""The newest revisions that the ATS published: billto nodes, requirements, timesheets and
placements.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from services.console.queries.snapshot import ReadConnection, fetch

CHUNK = 5_000
NODES = (
    "SELECT node_id AS id, CAST(body AS text) AS value FROM invoicer.console_billto_node WHERE"
    " node_id = {ids}"
)
REQUIREMENTS = (
    "SELECT requirement_id AS id, CAST(body AS text) AS value FROM fee_realizer.console_requirement"
    " WHERE requirement_id = {ids}"
)
DOCUMENTS = (
    "SELECT DISTINCT ON (document_id) document_id AS id, CAST(body AS text) AS value"
    " FROM fee_realizer.console_source_revision"
    " WHERE document_kind = '{kind}' AND document_id = {{ids}} AND source_id = document_id"
    " ORDER BY document_id, revision DESC"
)
TIMESHEETS = DOCUMENTS.format(kind="timesheet")
PLACEMENTS = DOCUMENTS.format(kind="placement")
ADJUSTMENTS = (
    "SELECT DISTINCT source_id AS id, document_id AS value FROM"
    " fee_realizer.console_source_revision"
    " WHERE document_kind = 'timesheet' AND source_id = {ids} AND source_id <> document_id"
)


def in_chunks(ids: Collection[str], size: int = CHUNK) -> Iterator[list[str]]:
    """The ids, at most `size` at a time."""
    rest = iter(ids)
    while chunk := list(islice(rest, size)):
        yield chunk


async def billto_bodies(connection: ReadConnection, ids: Collection[str]) -> dict[str, str]:
    """The JSON body of the newest revision of each of these billto nodes that is known."""
    return await _by_id(connection, NODES, ids)


async def requirement_bodies(connection: ReadConnection, ids: Collection[str]) -> dict[str, str]:
    """The JSON body of the newest revision of each of these requirements that is known."""
    return await _by_id(connection, REQUIREMENTS, ids)


async def timesheet_bodies(connection: ReadConnection, ids: Collection[str]) -> dict[str, str]:
    """The JSON body of the newest revision of each of these original timesheets that is known."""
    return await _by_id(connection, TIMESHEETS, ids)


async def placement_bodies(connection: ReadConnection, ids: Collection[str]) -> dict[str, str]:
    """The JSON body of the newest revision of each of these placements that is known."""
    return await _by_id(connection, PLACEMENTS, ids)


async def originals_of_adjustments(
    connection: ReadConnection, ids: Collection[str]
) -> dict[str, str]:
    """Which of these timesheets are known adjustments, and the original of each."""
    return await _by_id(connection, ADJUSTMENTS, ids)


async def count_other_timesheets(
    connection: ReadConnection, billing_company: str, ids: Sequence[str]
) -> int:
    """How many original timesheets of the company are known that are not among these."""
    (row,) = await fetch(
        connection,
        "SELECT count(DISTINCT r.document_id) AS number FROM fee_realizer.console_source_revision r"
        " JOIN fee_realizer.console_requirement j ON j.requirement_id ="
        " r.body->'entries'->0->>'requirement_id'"
        " WHERE r.document_kind = 'timesheet' AND r.source_id = r.document_id AND"
        " j.billing_company = :company"
        " AND r.document_id <> ALL(CAST(:ids AS text[]))",
        company=billing_company,
        ids=list(ids),
    )
    return int(row["number"])


async def _by_id(
    connection: ReadConnection, statement: str, ids: Collection[str]
) -> dict[str, str]:
    values: dict[str, str] = {}
    for chunk in in_chunks(ids):
        rows = await fetch(connection, statement.format(ids="ANY(CAST(:ids AS text[]))"), ids=chunk)
        values |= {row["id"]: row["value"] for row in rows}
    return values
