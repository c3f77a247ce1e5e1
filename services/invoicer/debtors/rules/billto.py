"""Billto: who is invoiced for a node, and what a new revision of a node means (domain rules 9).

The lowest node with a non-empty Account Name wins, on the way Office → Client → Company. A parent may be unknown for a while, and is
of a higher level: one that is not is passed over as if it were unknown. The SQL twin of `resolve` is `store.billto.RESOLVED_NODE_SQL`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.events.ats import BilltoChanged
from shared.terms import LEVELS, BilltoLevel

LEVEL_NUMBERS: dict[BilltoLevel, int] = {level: number for number, level in enumerate(LEVELS, 1)}
"""Company 1, client 2, office 3: the higher the level, the lower the number."""

RevisionEffect = Literal["takes effect", "recorded", "repeat", "conflict", "closes"]


@dataclass(frozen=True, slots=True)
class BilltoNode:
    """A node as far as the way to its debtor goes."""

    node_id: str
    level: BilltoLevel
    parent_id: str | None
    account_name: str


def path(nodes: Mapping[str, BilltoNode], node_id: str) -> list[BilltoNode]:
    """The node and its known parents, each of a higher level than the one before."""
    found: list[BilltoNode] = []
    node = nodes.get(node_id)
    while node is not None:
        found.append(node)
        parent = nodes.get(node.parent_id) if node.parent_id is not None else None
        node = (
            parent
            if parent is not None and LEVEL_NUMBERS[parent.level] < LEVEL_NUMBERS[node.level]
            else None
        )
    return found


def resolve(nodes: Mapping[str, BilltoNode], node_id: str) -> BilltoNode | None:
    """The lowest node of the path that has an Account Name, or None: then nobody can be invoiced for this node."""
    return next((node for node in path(nodes, node_id) if node.account_name), None)


@dataclass(frozen=True, slots=True)
class NodeState:
    """The revision in force of a node, and whether a tombstone closed it."""

    revision: int
    closed: bool


@dataclass(frozen=True, slots=True)
class NodeChanges:
    """What each event did, in their order, and where the nodes stand afterwards."""

    effects: tuple[RevisionEffect, ...]
    states: Mapping[str, NodeState]


def follow_revisions(
    known: Mapping[str, NodeState],
    revisions: Mapping[tuple[str, int], BilltoChanged],
    events: Sequence[BilltoChanged | str],
) -> NodeChanges:
    """Goes through what the ATS says of nodes; a bare id is a tombstone: the node is closed from now on and kept.

    When the revision in force, or a later one, is said after a tombstone, the node is open again: the last word of the topic counts, so
    that reading the whole topic once more ends where it ended before.
    """
    states, before = dict(known), dict(revisions)
    effects: list[RevisionEffect] = []
    for event in events:
        if isinstance(event, str):
            there = states.get(event)
            effects.append("repeat" if there is None or there.closed else "closes")
            if there is not None:
                states[event] = NodeState(there.revision, closed=True)
            continue
        there, revision_key = states.get(event.node_id), (event.node_id, event.revision)
        effect = revision_effect(
            event, None if there is None else there.revision, before.get(revision_key)
        )
        effects.append(effect)
        if effect in ("takes effect", "recorded"):
            before[revision_key] = event
        if effect == "takes effect" or (
            effect == "repeat" and there is not None and there.revision == event.revision
        ):
            states[event.node_id] = NodeState(event.revision, closed=False)
    return NodeChanges(tuple(effects), states)


def revision_effect(
    event: BilltoChanged, current_revision: int | None, known_revision: BilltoChanged | None
) -> RevisionEffect:
    """What a revision does: a new one takes effect, an older one is recorded, the same again is a repeat or, with other values, a conflict."""
    if known_revision is not None:
        return "repeat" if known_revision == event else "conflict"
    return (
        "takes effect"
        if current_revision is None or event.revision > current_revision
        else "recorded"
    )
