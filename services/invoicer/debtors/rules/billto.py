"""Billto: the debtor of a node, and the effect of a new revision of a node.

The lowest node with a non-empty Account Name wins, on the path Office → Client → Company. A parent
may be unknown for a while. A parent that is not of a higher level is ignored like an unknown one.
`store.billto.RESOLVED_NODE_SQL` is this rule; `tests.twins.resolve` is the same in Python.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from shared.events.ats import BilltoChanged
from shared.terms import LEVELS, BilltoLevel

LEVEL_NUMBERS: dict[BilltoLevel, int] = {level: number for number, level in enumerate(LEVELS, 1)}
"""Company 1, client 2, office 3: the higher the level, the lower the number."""

RevisionEffect = Literal["takes effect", "recorded", "repeat", "conflict", "closes"]


class NodeState(NamedTuple):
    """The current revision of a node, and whether a tombstone closed it."""

    revision: int
    closed: bool


class NodeChanges(NamedTuple):
    """The effect of each event, in order, and the states of the nodes afterwards."""

    effects: tuple[RevisionEffect, ...]
    states: Mapping[str, NodeState]


def follow_revisions(
    known: Mapping[str, NodeState],
    revisions: Mapping[tuple[str, int], BilltoChanged],
    events: Sequence[BilltoChanged | str],
) -> NodeChanges:
    """Decide the effect of events of nodes, in order; a bare id is a tombstone.

    A tombstone closes the node and keeps it. When the current revision, or a later one, follows a
    tombstone, the node is open again: the last message of the topic counts, so that a replay of the
    whole topic ends in the same state.
    """
    states, before = dict(known), dict(revisions)
    effects: list[RevisionEffect] = []
    for event in events:
        if isinstance(event, str):
            state = states.get(event)
            effects.append("repeat" if state is None or state.closed else "closes")
            if state is not None:
                states[event] = NodeState(state.revision, closed=True)
            continue
        state, revision_key = states.get(event.node_id), (event.node_id, event.revision)
        current_revision = None if state is None else state.revision
        effect = revision_effect(event, current_revision, before.get(revision_key))
        effects.append(effect)
        if effect in ("takes effect", "recorded"):
            before[revision_key] = event
        if effect == "takes effect" or (effect == "repeat" and current_revision == event.revision):
            states[event.node_id] = NodeState(event.revision, closed=False)
    return NodeChanges(tuple(effects), states)


def revision_effect(
    event: BilltoChanged, current_revision: int | None, known_revision: BilltoChanged | None
) -> RevisionEffect:
    """Decide the effect of a revision.

    A newer one takes effect, an older one is recorded, a known one is a repeat or, with other
    values, a conflict.
    """
    if known_revision is not None:
        return "repeat" if known_revision == event else "conflict"
    is_newer = current_revision is None or event.revision > current_revision
    return "takes effect" if is_newer else "recorded"
