"""What the books know of what an ATS said: nodes, requirements and timesheets in their newest revision."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from services.console.client.books import ReadConnection, found

IDS_AT_ONCE = 5_000


def in_chunks(ids: Collection[str], size: int = IDS_AT_ONCE) -> Iterator[list[str]]:
    """The ids, so many at once."""
    rest = iter(ids)
    while chunk := list(islice(rest, size)):
        yield chunk


async def nodes_said(connection: ReadConnection, ids: Collection[str]) -> dict[str, str]:
    """Body (JSON) of the newest revision of each of these billto nodes that is known."""
    return await _bodies(
        connection,
        "SELECT node_id AS id, CAST(body AS text) AS body FROM invoicer.billto_node WHERE node_id = ANY(CAST(:ids AS text[]))",
        ids,
    )


async def requirements_said(connection: ReadConnection, ids: Collection[str]) -> dict[str, str]:
    """Body (JSON) of the newest revision of each of these requirements that is known."""
    return await _bodies(
        connection,
        "SELECT requirement_id AS id, CAST(body AS text) AS body FROM fee_realizer.known_requirement WHERE requirement_id = ANY(CAST(:ids AS text[]))",
        ids,
    )


async def timesheets_said(connection: ReadConnection, ids: Collection[str]) -> dict[str, str]:
    """Body (JSON) of the newest revision of each of these original timesheets that is known; adjustments are sheets of their own."""
    return await _bodies(
        connection,
        "SELECT DISTINCT ON (document_id) document_id AS id, CAST(body AS text) AS body FROM fee_realizer.document_revision"
        " WHERE document_kind = 'timesheet' AND document_id = ANY(CAST(:ids AS text[])) AND source_id = document_id"
        " ORDER BY document_id, revision DESC",
        ids,
    )


async def adjustments_said(connection: ReadConnection, ids: Collection[str]) -> dict[str, str]:
    """Which of these timesheets are adjustments in the books, and of which original."""
    originals: dict[str, str] = {}
    for chunk in in_chunks(ids):
        rows = await found(
            connection,
            "SELECT DISTINCT source_id, document_id FROM fee_realizer.document_revision"
            " WHERE document_kind = 'timesheet' AND source_id = ANY(CAST(:ids AS text[])) AND source_id <> document_id",
            ids=chunk,
        )
        originals |= {row["source_id"]: row["document_id"] for row in rows}
    return originals


async def timesheets_besides(
    connection: ReadConnection, billing_company: str, ids: Sequence[str]
) -> int:
    """How many original timesheets the books have for the company that are not among these."""
    (row,) = await found(
        connection,
        "SELECT count(DISTINCT r.document_id) AS number FROM fee_realizer.document_revision r"
        " JOIN fee_realizer.known_requirement j ON j.requirement_id = r.body->'entries'->0->>'requirement_id'"
        " WHERE r.document_kind = 'timesheet' AND r.source_id = r.document_id AND j.billing_company = :company"
        " AND r.document_id <> ALL(CAST(:ids AS text[]))",
        company=billing_company,
        ids=list(ids),
    )
    return int(row["number"])


async def _bodies(
    connection: ReadConnection, statement: str, ids: Collection[str]
) -> dict[str, str]:
    bodies: dict[str, str] = {}
    for chunk in in_chunks(ids):
        bodies |= {row["id"]: row["body"] for row in await found(connection, statement, ids=chunk)}
    return bodies
