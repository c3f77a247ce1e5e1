"""The billto hierarchy: nodes, their revisions, and the SQL that finds the debtor of a node.

The lowest node with a non-empty Account Name wins. A parent may be unknown for a
while. A parent that is not of a higher level (company 1, client 2, office 3: the number must be
lower) is ignored, so a path has at most three nodes and no circle. `tests.twins.resolve` is the
same rule in Python.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.billto import LEVEL_NUMBERS, NodeState
from shared.database import insert_rows, rows, run, unnested
from shared.events.ats import BilltoChanged

RESOLVED_NODE_SQL = """
SELECT n.node_id,
  CASE WHEN n.account_name <> '' THEN n.node_id WHEN p.account_name <> '' THEN p.node_id
    WHEN g.account_name <> '' THEN g.node_id END AS debtor_node,
  CASE WHEN n.account_name <> '' THEN n.level WHEN p.account_name <> '' THEN p.level
    WHEN g.account_name <> '' THEN g.level END AS debtor_level,
  coalesce(nullif(n.account_name, ''), nullif(p.account_name, ''), nullif(g.account_name, ''))
    AS account_name
FROM invoicer.billto_node n
LEFT JOIN invoicer.billto_node p ON p.node_id = n.parent_id AND p.level < n.level
LEFT JOIN invoicer.billto_node g ON g.node_id = p.parent_id AND g.level < p.level"""
"""The debtor of each node: node_id, debtor_node, debtor_level, account_name.

The last three are NULL where no node of the path has an Account Name.
"""
AGREEMENT_NODE_SQL = """
SELECT billing_company AS node_id, billing_company AS debtor_node, 1 AS debtor_level,
       nullif(account_name, '') AS account_name
FROM fee_realizer.self_billing"""
"""The same of self-billing agreements, at which the items of suppliers are."""


class NodeRevision(NamedTuple):
    """A revision of a node, and its JSON as received, with fields that this system ignores."""

    event: BilltoChanged
    body: str


async def states_for(connection: AsyncConnection, node_ids: Iterable[str]) -> dict[str, NodeState]:
    """Return the states of those nodes that are known."""
    query = """
        SELECT node_id, revision, closed FROM invoicer.billto_node
        WHERE node_id = ANY(CAST(:ids AS text[]))"""
    found = await rows(connection, query, ids=sorted(set(node_ids)))
    return {node_id: NodeState(revision, closed) for node_id, revision, closed in found}


async def revisions_for(
    connection: AsyncConnection, revisions: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], BilltoChanged]:
    """Return those of the named revisions that are known."""
    pairs = sorted(set(revisions))
    found = await rows(
        connection,
        "SELECT r.node_id, r.revision, CAST(r.body AS text) AS body FROM invoicer.billto_revision r"
        f" JOIN {unnested('node_id text, revision bigint')} USING (node_id, revision)",
        node_id=[node_id for node_id, _ in pairs],
        revision=[revision for _, revision in pairs],
    )
    return {
        (row.node_id, row.revision): BilltoChanged.model_validate_json(row.body) for row in found
    }


async def add_revisions(connection: AsyncConnection, revisions: Sequence[NodeRevision]) -> None:
    """Record revisions, whether they take effect or not."""
    await insert_rows(
        connection,
        "invoicer.billto_revision",
        "node_id text, revision bigint, body jsonb",
        [(new.event.node_id, new.event.revision, new.body) for new in revisions],
    )


async def save_nodes(
    connection: AsyncConnection, nodes: Sequence[tuple[NodeRevision, bool]]
) -> None:
    """Make revisions current; the second value: whether a later tombstone closed the node."""
    values = [
        (
            new.event.node_id,
            new.event.revision,
            closed,
            LEVEL_NUMBERS[new.event.level],
            new.event.parent_id,
            new.event.name,
            new.event.account_name,
            new.event.address,
            new.event.tax_id,
            new.event.contact,
            new.event.reference,
            new.body,
        )
        for new, closed in nodes
    ]
    definition = (
        "node_id text, revision bigint, closed boolean, level smallint, parent_id text, name text,"
        " account_name text, address text, tax_id text, contact text, reference text, body jsonb"
    )
    await insert_rows(connection, "invoicer.billto_node", definition, values, replace="node_id")


async def mark_nodes(connection: AsyncConnection, closed: dict[str, bool]) -> None:
    """Close nodes or open them again; nothing else of them changes."""
    if closed:
        await run(
            connection,
            "UPDATE invoicer.billto_node n SET closed = s.closed"
            f" FROM {unnested('node_id text, closed boolean')}"
            " WHERE n.node_id = s.node_id",
            node_id=list(closed),
            closed=list(closed.values()),
        )
