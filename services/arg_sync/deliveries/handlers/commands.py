"""Commands about deliveries: sync a batch, retry, resync, adopt, mark as posted, republish."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import connections
from services.arg_sync.connections.store.customers import forget_customer
from services.arg_sync.deliveries.store import deliveries, messages
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import (
    AdoptDelivery,
    MarkPosted,
    Republish,
    ResyncDelivery,
    RetryDelivery,
    SyncBatch,
)
from shared.terms import counted


async def on_sync_batch(connection: AsyncConnection, command: SyncBatch) -> Answer:
    """Queue the documents of a batch for every connection that does not have them yet."""
    company = await deliveries.batch_company(connection, command.batch_id)
    if company is None or company != command.billing_company:
        raise Refused(
            "unknown_batch",
            f"{command.billing_company} has no batch {command.batch_id}",
            "see `backoffice batch list`",
        )
    ledgers = await connections.connections_of(connection, company)
    if not ledgers:
        raise Refused(
            "no_ledger",
            f"{company} is connected to no ledger",
            "connect one with `backoffice ledger connect`, or download the batch as files",
        )
    new = await deliveries.queue(connection, batch_ids=[command.batch_id], auto=False)
    if command.unapplied:
        await deliveries.let_go_unapplied(connection, batch_id=command.batch_id)
    names = [each.name for each in ledgers]
    warning = "".join(
        f"; {each.name} {connections.STOPPED[each.state]}: {each.message}"
        for each in ledgers
        if each.state in connections.STOPPED
    )
    return Answer(
        f"{counted(new, 'document')} of {command.batch_id} queued for {', '.join(names)}{warning}",
        details={
            "batch_id": command.batch_id,
            "queued": new,
            "ledgers": names,
            "deliveries": await deliveries.batch_states(connection, command.batch_id),
        },
        subjects=[command.batch_id, *names],
    )


async def on_retry(connection: AsyncConnection, command: RetryDelivery) -> Answer:
    """Try a refused delivery again after a look-up, or a waiting one now."""
    row = await _require_delivery(connection, command, "retried", "refused", "queued")
    if command.unapplied and not await deliveries.let_go_unapplied(
        connection, delivery_id=row.delivery_id
    ):
        raise Refused(
            "not_a_credit_note",
            f"{row.invoice_number} is an invoice, which is not applied to another document",
            "retry it without --unapplied",
        )
    if row.state == "refused":
        await deliveries.requeue(connection, row.delivery_id)
        await forget_customer(connection, command.ledger, row.account_name)
    else:
        await deliveries.try_now(connection, row.delivery_id)
    return _answer(row, "is tried again", "queued")


async def on_resync(connection: AsyncConnection, command: ResyncDelivery) -> Answer:
    """Look the document up again; deliver it again if the ledger no longer has it."""
    row = await _require_delivery(connection, command, "looked up again", "posted", "refused")
    await deliveries.requeue(connection, row.delivery_id)
    return _answer(
        row, "is looked up again, and delivered if the ledger does not have it", "queued"
    )


async def on_adopt(connection: AsyncConnection, command: AdoptDelivery) -> Answer:
    """Record the document of the given id as ours."""
    row = await _require_delivery(connection, command, "adopted", "refused", "unknown")
    reason = command.reason or row.message
    settled = await deliveries.settle_by_hand(
        connection,
        row.delivery_id,
        "adopted",
        command.remote_id,
        row.remote_number,
        f"{command.actor} adopted {command.remote_id}: {reason}",
    )
    await deliveries.apply_credits(connection, [row.delivery_id])
    return _answer(row, f"is {command.remote_id} in the ledger", "posted", settled)


async def on_mark_posted(connection: AsyncConnection, command: MarkPosted) -> Answer:
    """Record that a person entered the document into the ledger."""
    row = await _require_delivery(
        connection, command, "marked as posted", "refused", "unknown", "queued"
    )
    if row.outcome_unknown and row.state == "unknown" and not command.reason:
        raise Refused(
            "reason_missing",
            "its outcome is unknown, so marking it needs a reason",
            "look in the ledger, then give --reason",
        )
    settled = await deliveries.settle_by_hand(
        connection,
        row.delivery_id,
        "marked",
        None,
        command.remote_number or "",
        f"{command.actor} marked it as posted: {command.reason}",
    )
    return _answer(row, "is marked as posted", "posted", settled)


async def _require_delivery(
    connection: AsyncConnection,
    command: RetryDelivery | ResyncDelivery | AdoptDelivery | MarkPosted,
    action: str,
    *states: str,
) -> Any:
    """Lock and return the delivery; refuse if there is none or its state forbids the action."""
    row = await deliveries.delivery_for(connection, command.ledger, command.invoice_number)
    if row is None:
        raise Refused(
            "unknown_delivery",
            f"{command.invoice_number} was never queued for {command.ledger}",
            "see `backoffice deliveries list`, or queue it with `batch sync`",
        )
    if row.state not in states:
        fixes = {
            "sending": "it is being sent: look again in a minute",
            "unknown": "it is looked up automatically as soon as that is safe",
            "posted": "the ledger has it",
        }
        raise Refused(
            "not_now",
            f"{row.invoice_number} is {row.state} and cannot be {action}",
            fixes.get(row.state, "see `backoffice deliveries show`"),
        )
    return row


def _answer(row: Any, text: str, state: str, settled: Any | None = None) -> Answer:
    return Answer(
        f"{row.invoice_number} {text}",
        details={"ledger": row.ledger, "invoice_number": row.invoice_number, "state": state},
        before={"state": row.state, "code": row.code, "remote_id": row.remote_id},
        after={"state": state},
        subjects=[row.invoice_number, row.ledger],
        publish_after=[messages.outbox_id(settled)] if settled is not None else [],
    )


async def on_republish(connection: AsyncConnection, command: Republish) -> Answer:
    """Publish the results of deliveries again: of one document, or since a day."""
    if command.document_id is not None:
        ids = await messages.outbox_ids_of(connection, command.document_id)
    elif command.since is not None:
        ids = await messages.outbox_ids_since(connection, command.since)
    else:
        raise Refused(
            "nothing_named",
            "republish needs a document or a day",
            "give the number of a document, or a day with --since",
        )
    return Answer(
        f"{counted(len(ids), 'delivery', 'deliveries')} published again",
        details={"deliveries": len(ids)},
        publish_after=ids,
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {
    SyncBatch: on_sync_batch,
    RetryDelivery: on_retry,
    ResyncDelivery: on_resync,
    AdoptDelivery: on_adopt,
    MarkPosted: on_mark_posted,
}
