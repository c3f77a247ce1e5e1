"""The billto hierarchy: nodes, what the ATS ever said of them, and the one SQL that finds who is invoiced for a node.

The lowest node with a non-empty Account Name wins (domain rules 9). A parent may be unknown for a while; one that is not of a
higher level (a lower number: company 1, client 2, office 3) is ignored, so a path has three nodes at most and no circle.
Its twin for people and tests is `rules.billto.resolve`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.billto import LEVEL_NUMBERS, NodeState
from shared.database import rows, run
from shared.events.ats import BilltoChanged

RESOLVED_NODE_SQL = """
SELECT n.node_id,
       CASE WHEN n.account_name <> '' THEN n.node_id WHEN p.account_name <> '' THEN p.node_id WHEN g.account_name <> '' THEN g.node_id END AS debtor_node,
       CASE WHEN n.account_name <> '' THEN n.level WHEN p.account_name <> '' THEN p.level WHEN g.account_name <> '' THEN g.level END AS debtor_level,
       coalesce(nullif(n.account_name, ''), nullif(p.account_name, ''), nullif(g.account_name, '')) AS account_name
FROM invoicer.billto_node n
LEFT JOIN invoicer.billto_node p ON p.node_id = n.parent_id AND p.level < n.level
LEFT JOIN invoicer.billto_node g ON g.node_id = p.parent_id AND g.level < p.level"""
"""One row a node: node_id, debtor_node, debtor_level, account_name (all NULL where no node of the path has an Account Name)."""


@dataclass(frozen=True, slots=True)
class NodeRevision:
    """What the ATS said of a node, and the body as it came (with fields that we do not know)."""

    event: BilltoChanged
    body: str


async def states_for(connection: AsyncConnection, node_ids: Iterable[str]) -> dict[str, NodeState]:
    """Where the nodes stand that are known."""
    found = await rows(
        connection,
        "SELECT node_id, revision, closed FROM invoicer.billto_node WHERE node_id = ANY(CAST(:ids AS text[]))",
        ids=sorted(set(node_ids)),
    )
    return {row.node_id: NodeState(row.revision, row.closed) for row in found}


async def revisions_for(
    connection: AsyncConnection, revisions: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], BilltoChanged]:
    """What the ATS said in those of the revisions that are known."""
    pairs = sorted(set(revisions))
    found = await rows(
        connection,
        "SELECT r.node_id, r.revision, CAST(r.body AS text) AS body FROM invoicer.billto_revision r"
        " JOIN unnest(CAST(:ids AS text[]), CAST(:revisions AS bigint[])) AS s(node_id, revision) USING (node_id, revision)",
        ids=[node_id for node_id, _ in pairs],
        revisions=[revision for _, revision in pairs],
    )
    return {
        (row.node_id, row.revision): BilltoChanged.model_validate_json(row.body) for row in found
    }


async def add_revisions(connection: AsyncConnection, revisions: Sequence[NodeRevision]) -> None:
    """Records what the ATS said, with effect or without."""
    if revisions:
        await run(
            connection,
            "INSERT INTO invoicer.billto_revision (node_id, revision, body)"
            " SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:revisions AS bigint[]), CAST(:bodies AS jsonb[]))",
            ids=[one.event.node_id for one in revisions],
            revisions=[one.event.revision for one in revisions],
            bodies=[one.body for one in revisions],
        )


async def save_nodes(
    connection: AsyncConnection, nodes: Sequence[tuple[NodeRevision, bool]]
) -> None:
    """Puts revisions in force; the second value: whether a tombstone closed the node since."""
    if not nodes:
        return
    events = [revisions.event for revisions, _ in nodes]
    await run(
        connection,
        "INSERT INTO invoicer.billto_node (node_id, revision, closed, level, parent_id, name, account_name, address, tax_id, body)"
        " SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:revisions AS bigint[]), CAST(:closed AS boolean[]), CAST(:levels AS smallint[]),"
        " CAST(:parents AS text[]), CAST(:names AS text[]), CAST(:accounts AS text[]), CAST(:addresses AS text[]), CAST(:tax_ids AS text[]),"
        " CAST(:bodies AS jsonb[]))"
        " ON CONFLICT (node_id) DO UPDATE SET revision = excluded.revision, closed = excluded.closed, level = excluded.level,"
        " parent_id = excluded.parent_id, name = excluded.name, account_name = excluded.account_name, address = excluded.address,"
        " tax_id = excluded.tax_id, body = excluded.body",
        ids=[event.node_id for event in events],
        revisions=[event.revision for event in events],
        closed=[is_closed for _, is_closed in nodes],
        levels=[LEVEL_NUMBERS[event.level] for event in events],
        parents=[event.parent_id for event in events],
        names=[event.name for event in events],
        accounts=[event.account_name for event in events],
        addresses=[event.address for event in events],
        tax_ids=[event.tax_id for event in events],
        bodies=[revisions.body for revisions, _ in nodes],
    )


async def mark_nodes(connection: AsyncConnection, closed: dict[str, bool]) -> None:
    """Closes nodes, or opens them again; nothing else of them changes."""
    if closed:
        await run(
            connection,
            "UPDATE invoicer.billto_node n SET closed = s.closed FROM unnest(CAST(:ids AS text[]), CAST(:closed AS boolean[])) AS s(node_id, closed)"
            " WHERE n.node_id = s.node_id",
            ids=list(closed),
            closed=list(closed.values()),
        )
