"""Requirements as they arrive: the newest revision is in force, the rate book turns when its rates change, and the documents that name
the requirement are put in line to be priced again, in the transaction that changes it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.rules.facts import RateVersion
from services.fee_realizer.rules.rates import turn_book
from services.fee_realizer.store import facts, requirements
from services.fee_realizer.store.requirements import Order, RevisionKey
from shared import faults
from shared.consumer.records import Applied, Received, Record, Rejection, Tombstone
from shared.events.ats import RequirementChanged

CAUSE = "requirement-changed"


async def on_requirement_changed(
    connection: AsyncConnection, received: Sequence[Received[RequirementChanged | Tombstone]]
) -> Applied:
    """Every revision turns the rate book by itself, so that books count the same however records meet in a batch."""
    orders = await requirements.lock_orders(connection, {_id_of(one.event) for one in received})
    await faults.point("after_locks")
    told = [
        (one.event, one.record) for one in received if isinstance(one.event, RequirementChanged)
    ]
    stored = await requirements.order_bodies(
        connection, {(event.requirement_id, event.revision) for event, _ in told}
    )
    known = {key: RequirementChanged.model_validate_json(body) for key, body in stored.items()}
    standing = await facts.rate_versions(
        connection, [order.requirement_id for order in orders.values() if order.rate_book]
    )
    new: dict[RevisionKey, str] = {}
    rejected: list[tuple[Record, Rejection]] = []
    for event, record in told:
        key = (event.requirement_id, event.revision)
        before = known.get(key)
        if before is None:
            known[key] = event
            new[key] = (record.value or b"").decode()
            _take(orders[event.requirement_id], event, new[key], standing)
        elif before != event:
            message = f"requirement {key[0]} revision {key[1]} came before with other values: send the change as a higher revision"
            rejected.append((record, Rejection("conflict", message)))
    changed = [order for order in orders.values() if order.event is not None]
    await requirements.add_order_revisions(connection, new)
    await requirements.save_orders(connection, changed)
    await requirements.close_orders(
        connection, [one.event.key for one in received if isinstance(one.event, Tombstone)]
    )
    queued = (
        await facts.queue_dependents(
            connection, "requirement", [order.requirement_id for order in changed], CAUSE
        )
        if changed
        else 0
    )
    return Applied(rejected=rejected, jobs_due=queued > 0)


def _id_of(event: RequirementChanged | Tombstone) -> str:
    return event.key if isinstance(event, Tombstone) else event.requirement_id


def _take(
    order: Order, event: RequirementChanged, body: str, standing: Mapping[str, list[RateVersion]]
) -> None:
    """Takes over a revision if it is the newest; an older one is only kept."""
    if event.revision <= order.revision:
        return
    order.revision, order.event, order.body = event.revision, event, body
    gone = {version for version, _ in order.ended}
    stand = [
        version
        for version in (*standing.get(order.requirement_id, ()), *order.begun)
        if version not in gone and version.until_book is None
    ]
    turned = turn_book(stand, event.rates, order.rate_book)
    order.rate_book = turned.book
    for version in turned.ended:
        if version in order.begun:  # begun and ended within one batch
            order.begun[order.begun.index(version)] = replace(version, until_book=turned.book)
        else:
            order.ended.append((version, turned.book))
    order.begun += turned.begun
