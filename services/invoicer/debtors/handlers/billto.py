"""Hears `billto-changed`: keeps the hierarchy of those who may be invoiced.

A change moves open lines at once (who pays is resolved when a batch is built) and no invoice (a document keeps a snapshot). The lock
`billto` is taken exclusively, so that no batch is built on half of a change.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.rules.billto import follow_revisions
from services.invoicer.debtors.store import billto
from services.invoicer.debtors.store.billto import NodeRevision
from shared import faults
from shared.broker.topics import BILLTO_CHANGED
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied, Received, Record, Rejection, Tombstone, reader
from shared.database import lock_billto
from shared.events.ats import BilltoChanged


async def on_billto_changed(
    connection: AsyncConnection, received: Sequence[Received[BilltoChanged | Tombstone]]
) -> Applied:
    """Follows a batch of nodes in the caller's transaction."""
    await lock_billto(connection, exclusive=True)
    await faults.point("after_locks")
    events = [one.event.key if isinstance(one.event, Tombstone) else one.event for one in received]
    known = await billto.states_for(
        connection, [event if isinstance(event, str) else event.node_id for event in events]
    )
    revisions = await billto.revisions_for(
        connection,
        [(event.node_id, event.revision) for event in events if not isinstance(event, str)],
    )
    changes = follow_revisions(known, revisions, events)
    new: list[NodeRevision] = []
    in_force: dict[str, NodeRevision] = {}
    rejected: list[tuple[Record, Rejection]] = []
    for one, event, effect in zip(received, events, changes.effects, strict=True):
        if isinstance(event, str):
            continue
        if effect == "conflict":
            rejected.append((one.record, _conflict(event)))
        if effect in ("takes effect", "recorded"):
            new.append(NodeRevision(event, (one.record.value or b"").decode()))
        if effect == "takes effect":
            in_force[event.node_id] = new[-1]
    await billto.add_revisions(connection, new)
    await billto.save_nodes(
        connection,
        [(in_force[node_id], changes.states[node_id].closed) for node_id in sorted(in_force)],
    )
    marked = {
        node: state.closed
        for node, state in sorted(changes.states.items())
        if node not in in_force and known.get(node) != state
    }
    await billto.mark_nodes(connection, marked)
    return Applied(rejected=rejected)


SUBSCRIPTION = Subscription(
    BILLTO_CHANGED.name, reader(BilltoChanged, compacted=True), on_billto_changed, BilltoChanged
)


def _conflict(event: BilltoChanged) -> Rejection:
    return Rejection(
        "conflict",
        f"revision {event.revision} of this node was said before with other values: send the change as a higher revision",
    )
