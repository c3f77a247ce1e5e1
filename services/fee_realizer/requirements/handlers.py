"""New revisions of requirements.

The newest revision is in force. The rate book changes when its rates change, and the documents that
name the requirement are queued for pricing in the transaction that changes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.facts.store import queue_dependents
from services.fee_realizer.requirements import store
from services.fee_realizer.requirements.rules import RateVersion, replace_ats_rates
from services.fee_realizer.requirements.store import RequirementRevision, RequirementUpdate
from shared import faults
from shared.consumer.records import Applied, Received, Record, Rejection, Tombstone
from shared.events.ats import RequirementChanged

CAUSE = "requirement-changed"


async def on_requirement_changed(
    connection: AsyncConnection, received: Sequence[Received[RequirementChanged | Tombstone]]
) -> Applied:
    """Apply revisions one by one.

    Each revision changes the rate book by itself, so that the numbers of rate books do not depend
    on how records are grouped into batches.
    """
    tombstones = [one.event.key for one in received if isinstance(one.event, Tombstone)]
    sent = [
        (one.event, one.record) for one in received if isinstance(one.event, RequirementChanged)
    ]
    ids = {event.requirement_id for event, _ in sent}
    updates = await store.lock_requirements(connection, ids.union(tombstones))
    await faults.point("after_locks")
    stored = await store.revision_bodies(
        connection, {(event.requirement_id, event.revision) for event, _ in sent}
    )
    known = {key: RequirementChanged.model_validate_json(body) for key, body in stored.items()}
    rates = await store.rate_versions(
        connection, [update.requirement_id for update in updates.values() if update.rate_book]
    )
    new: dict[RequirementRevision, str] = {}
    rejected: list[tuple[Record, Rejection]] = []
    for event, record in sent:
        key = (event.requirement_id, event.revision)
        if key not in known:
            known[key] = event
            new[key] = (record.value or b"").decode()
            _apply(updates[event.requirement_id], event, new[key], rates)
        elif known[key] != event:
            message = (
                f"requirement {key[0]} revision {key[1]} was received with other values:"
                " send the change as a higher revision"
            )
            rejected.append((record, Rejection("conflict", message)))
    changed = [update for update in updates.values() if update.event is not None]
    await store.add_revisions(connection, new)
    await store.save_requirements(connection, changed)
    await store.close_requirements(connection, tombstones)
    if not changed:
        return Applied(rejected=rejected)
    queued = await queue_dependents(
        connection, "requirement", [update.requirement_id for update in changed], CAUSE
    )
    return Applied(rejected=rejected, jobs_due=queued > 0)


def _apply(
    update: RequirementUpdate,
    event: RequirementChanged,
    body: str,
    rates: Mapping[str, list[RateVersion]],
) -> None:
    """Apply a revision if it is the newest; an older one is only kept."""
    if event.revision <= update.revision:
        return
    update.revision, update.event, update.body = event.revision, event, body
    ended = {version for version, _ in update.ended}
    current = [
        version
        for version in (*rates.get(update.requirement_id, ()), *update.begun)
        if version not in ended
    ]
    change = replace_ats_rates(current, event.rates, update.rate_book)
    update.rate_book = change.book
    for version in change.ended:
        if version in update.begun:  # it began and ends within this batch
            update.begun[update.begun.index(version)] = replace(version, until_book=change.book)
        else:
            update.ended.append((version, change.book))
    update.begun += change.begun
