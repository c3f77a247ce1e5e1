"""New revisions of engagements and suppliers.

The newest revision is in force. The documents of a changed engagement are queued for pricing in the
transaction that changes it.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.engagements import store
from services.fee_realizer.engagements.store import NewState, Table
from shared import faults
from shared.consumer.records import Applied, Received, Record, Rejection, Tombstone
from shared.events.ats import EngagementChanged, SupplierChanged

Event = EngagementChanged | SupplierChanged
CAUSE = "engagement-changed"


async def on_engagement_changed(
    connection: AsyncConnection, received: Sequence[Received[EngagementChanged | Tombstone]]
) -> Applied:
    """Apply revisions of engagements, and queue the documents of those that changed."""
    changed, rejected = await _apply(connection, "engagement", received)
    queued = await store.queue_engaged(connection, changed, CAUSE) if changed else 0
    return Applied(rejected=rejected, jobs_due=queued > 0)


async def on_supplier_changed(
    connection: AsyncConnection, received: Sequence[Received[SupplierChanged | Tombstone]]
) -> Applied:
    """Apply revisions of suppliers."""
    _, rejected = await _apply(connection, "supplier", received)
    return Applied(rejected=rejected)


async def _apply(
    connection: AsyncConnection,
    table: Table,
    received: Sequence[
        Received[EngagementChanged | Tombstone] | Received[SupplierChanged | Tombstone]
    ],
) -> tuple[list[str], list[tuple[Record, Rejection]]]:
    """Keep what is new, and return the ids with another newest revision, and the rejections.

    A tombstone closes its subject, and its newest or a later revision opens it again: the last
    message of the topic counts.
    """
    sent = [(one.event, one.record) for one in received]
    keys = [
        (event.key, -1) if isinstance(event, Tombstone) else (_subject(event), event.revision)
        for event, _ in sent
    ]
    newest = await store.lock_revisions(connection, table, {subject for subject, _ in keys})
    await faults.point("after_locks")
    bodies = await store.revision_bodies(connection, table, [key for key in keys if key[1] >= 0])
    model = EngagementChanged if table == "engagement" else SupplierChanged
    known: dict[tuple[str, int], Event] = {
        key: model.model_validate_json(body) for key, body in bodies.items()
    }
    new: dict[tuple[str, int], str] = {}
    states: dict[str, NewState] = {}
    rejected: list[tuple[Record, Rejection]] = []
    for (event, record), (subject, revision) in zip(sent, keys, strict=True):
        state = states.get(subject) or NewState(subject, newest[subject], False, None)
        if isinstance(event, Tombstone):
            states[subject] = state._replace(closed=True)
            continue
        if known.get((subject, revision), event) != event:
            message = (
                f"{table} {subject} revision {revision} was received with other values:"
                " send the change as a higher revision"
            )
            rejected.append((record, Rejection("conflict", message)))
            continue
        if (subject, revision) not in known:
            known[subject, revision] = event
            new[subject, revision] = (record.value or b"").decode()
        if revision > state.revision:
            states[subject] = NewState(subject, revision, False, new[subject, revision])
        elif revision == state.revision:
            states[subject] = state._replace(closed=False)
    await store.add_revisions(connection, table, new)
    await store.save_states(connection, table, list(states.values()))
    return sorted(one.subject_id for one in states.values() if one.body is not None), rejected


def _subject(event: Event) -> str:
    return event.engagement_id if isinstance(event, EngagementChanged) else event.supplier_id
