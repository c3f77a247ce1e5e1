"""Consumes `billto-changed`: keeps the hierarchy of billto nodes.

A change applies to open lines at once, because who pays is resolved when a batch is built. It
changes no invoice: a document keeps a snapshot. The lock `billto` is taken exclusively, so that no
batch is built while half of a change is visible.
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
    """Apply a batch of node revisions and tombstones in the caller's transaction."""
    await lock_billto(connection, exclusive=True)
    await faults.point("after_locks")
    messages = [message.event for message in received]
    events = [event.key if isinstance(event, Tombstone) else event for event in messages]
    known = await billto.states_for(
        connection, [event if isinstance(event, str) else event.node_id for event in events]
    )
    revisions = await billto.revisions_for(
        connection,
        [(event.node_id, event.revision) for event in events if not isinstance(event, str)],
    )
    changes = follow_revisions(known, revisions, events)
    new: list[NodeRevision] = []
    current: dict[str, NodeRevision] = {}
    rejected: list[tuple[Record, Rejection]] = []
    for message, event, effect in zip(received, events, changes.effects, strict=True):
        if isinstance(event, str):
            continue
        if effect == "conflict":
            text = (
                f"revision {event.revision} of this node arrived before with other values:"
                " send the change as a higher revision"
            )
            rejected.append((message.record, Rejection("conflict", text)))
        if effect in ("takes effect", "recorded"):
            new.append(NodeRevision(event, (message.record.value or b"").decode()))
        if effect == "takes effect":
            current[event.node_id] = new[-1]
    await billto.add_revisions(connection, new)
    await billto.save_nodes(
        connection,
        [(revision, changes.states[node].closed) for node, revision in sorted(current.items())],
    )
    marked = {
        node: state.closed
        for node, state in sorted(changes.states.items())
        if node not in current and known.get(node) != state
    }
    await billto.mark_nodes(connection, marked)
    return Applied(rejected=rejected)


SUBSCRIPTION = Subscription(
    BILLTO_CHANGED.name, reader(BilltoChanged, compacted=True), on_billto_changed, BilltoChanged
)
