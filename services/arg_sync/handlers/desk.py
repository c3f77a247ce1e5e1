"""Commands about deliveries: sync a batch, retry, resync, adopt, mark as posted; and those that wait for a batch we have not heard of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.handlers import connecting, hearing, reconcile
from services.arg_sync.rules.backoff import HELD_MINUTES
from services.arg_sync.store import announced, connections, deliveries, held
from services.arg_sync.store.customers import forget_customer
from shared.broker.topics import OPERATOR_COMMANDS
from shared.consumer.commands import Answer, CommandDispatcher, Handle
from shared.consumer.protocol import Subscription
from shared.consumer.records import Applied, Received, Record
from shared.errors import Refused
from shared.events.commands import (
    OPERATOR_COMMAND,
    AdoptDelivery,
    AnyCommand,
    MarkPosted,
    Reconcile,
    Republish,
    ResyncDelivery,
    RetryDelivery,
    SyncBatch,
)
from shared.terms import counted

NAME = "arg_sync"


async def on_sync_batch(connection: AsyncConnection, command: SyncBatch) -> Answer:
    """Queues what was not delivered yet, for every connection of the billing company."""
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
            "connect one with `backoffice ledger connect`, or take the batch as files",
        )
    new = await deliveries.queue(connection, batch_ids=[command.batch_id], auto=False)
    states = await deliveries.batch_states(connection, command.batch_id)
    stopped = [each for each in ledgers if each.state == "stopped"]
    warning = "".join(f"; {each.ledger} is stopped: {each.message}" for each in stopped)
    names = [each.ledger for each in ledgers]
    return Answer(
        f"{counted(new, 'document')} of {command.batch_id} queued for {', '.join(names)}{warning}",
        details={
            "batch_id": command.batch_id,
            "queued": new,
            "ledgers": names,
            "deliveries": states,
        },
        subjects=[command.batch_id, *names],
    )


async def on_retry(connection: AsyncConnection, command: RetryDelivery) -> Answer:
    """Tries a refused one anew, or a waiting one now. Before anything is sent the ledger is looked at."""
    row = await _delivery(connection, command.ledger, command.invoice_number)
    if row.state == "refused":
        await deliveries.queue_again(connection, row.delivery_id)
        await forget_customer(connection, command.ledger, row.account_name)
    elif row.state == "queued":
        await deliveries.hasten(connection, row.delivery_id)
    else:
        raise _not_now(row, "retried")
    return _changed(row, "is tried again", "queued")


async def on_resync(connection: AsyncConnection, command: ResyncDelivery) -> Answer:
    """Looks again; if it is not there any more, it is delivered anew."""
    row = await _delivery(connection, command.ledger, command.invoice_number)
    if row.state not in ("posted", "refused"):
        raise _not_now(row, "looked up again")
    await deliveries.queue_again(connection, row.delivery_id)
    return _changed(row, "is looked up again, and delivered if it is not there", "queued")


async def on_adopt(connection: AsyncConnection, command: AdoptDelivery) -> Answer:
    """Takes the document of that id for ours."""
    row = await _delivery(connection, command.ledger, command.invoice_number)
    if row.state not in ("refused", "unknown"):
        raise _not_now(row, "adopted")
    words = f"{command.actor} took {command.remote_id} for it: {command.reason or row.message}"
    await deliveries.settle_by_hand(
        connection, row.delivery_id, "adopted", command.remote_id, row.remote_number, words
    )
    return _changed(row, f"stands in the ledger as {command.remote_id}", "posted", said=True)


async def on_mark_posted(connection: AsyncConnection, command: MarkPosted) -> Answer:
    """A person entered it."""
    row = await _delivery(connection, command.ledger, command.invoice_number)
    if row.state not in ("refused", "unknown", "queued"):
        raise _not_now(row, "marked as posted")
    if row.doubt and row.state == "unknown" and not command.reason:
        raise Refused(
            "reason_missing",
            "what became of it is not known: it is marked with a reason only",
            "look in the ledger, then give --reason",
        )
    words = f"{command.actor} says that it stands there: {command.reason}"
    await deliveries.settle_by_hand(
        connection, row.delivery_id, "marked", None, command.remote_number or "", words
    )
    return _changed(row, "is marked as posted", "posted", said=True)


async def _delivery(connection: AsyncConnection, ledger: str, invoice_number: str) -> Any:
    row = await deliveries.delivery_for(connection, ledger, invoice_number)
    if row is None:
        raise Refused(
            "unknown_delivery",
            f"{invoice_number} was never to go to {ledger}",
            "see `backoffice deliveries list`, or queue it with `batch sync`",
        )
    return row


def _not_now(row: Any, what: str) -> Refused:
    fixes = {
        "sending": "it is in hand: look again in a minute",
        "unknown": "it is looked up by itself as soon as that is safe",
        "posted": "it is there",
    }
    return Refused(
        "not_now",
        f"{row.invoice_number} is {row.state} and cannot be {what}",
        fixes.get(row.state, "see `backoffice deliveries show`"),
    )


def _changed(row: Any, words: str, state: str, *, said: bool = False) -> Answer:
    return Answer(
        f"{row.invoice_number} {words}",
        details={"ledger": row.ledger, "invoice_number": row.invoice_number, "state": state},
        before={"state": row.state, "code": row.code, "remote_id": row.remote_id},
        after={"state": state},
        subjects=[row.invoice_number, row.ledger],
        publish_after=[announced.of("posted", row.delivery_id, 0)] if said else [],
    )


async def on_republish(connection: AsyncConnection, command: Republish) -> Answer:
    """Says again what became of deliveries: of a document by its number, or since a day."""
    if command.document_id is not None:
        ids = await announced.announced_of(connection, command.document_id)
    elif command.since is not None:
        ids = await announced.announced_since(connection, command.since)
    else:
        raise Refused(
            "nothing_named",
            "republish needs to know what",
            "give the number of a document, or a day with --since",
        )
    return Answer(
        f"{counted(len(ids), 'delivery', 'deliveries')} are said again",
        details={"deliveries": len(ids)},
        publish_after=ids,
    )


# -- commands about a batch that we have not heard of


async def apply_or_hold(
    connection: AsyncConnection, received: Sequence[Received[AnyCommand]]
) -> Applied:
    """Answers a command; one about a batch that is not there yet is held: the invoicer may be about to commit it."""
    (one,) = received
    command = one.event
    if (
        isinstance(command, SyncBatch)
        and await deliveries.batch_company(connection, command.batch_id) is None
    ):
        await held.hold(connection, command.command_id, command.model_dump_json())
        return Applied()
    return await DISPATCHER.apply(connection, received)


async def answer_held(connection: AsyncConnection) -> Applied:
    """Answers held commands whose batch is there, or whose time is over: then the answer is a refusal."""
    applied = Applied()
    for row in await held.ripe(connection, HELD_MINUTES):
        if await held.let_go(connection, row.command_id):
            body = row.body if isinstance(row.body, str) else json.dumps(row.body)
            command = OPERATOR_COMMAND.validate_json(body)
            answered = await DISPATCHER.apply(
                connection,
                [Received(command, Record(OPERATOR_COMMANDS.name, 0, 0, None, body.encode()))],
            )
            applied.publish_now += answered.publish_after
    return applied


def subscriptions() -> Mapping[str, Subscription]:
    """What the service hears, by topic."""
    commands = replace(DISPATCHER.subscription(), apply=apply_or_hold)
    return {lane.topic: lane for lane in (hearing.INVOICES, hearing.BATCHES, commands)}


HANDLERS: Mapping[type[Any], Handle] = {
    **connecting.HANDLERS,
    SyncBatch: on_sync_batch,
    RetryDelivery: on_retry,
    ResyncDelivery: on_resync,
    AdoptDelivery: on_adopt,
    MarkPosted: on_mark_posted,
    Reconcile: reconcile.on_reconcile,
}
DISPATCHER = CommandDispatcher(
    NAME, handlers=HANDLERS, subscriptions=subscriptions, republish=on_republish
)
