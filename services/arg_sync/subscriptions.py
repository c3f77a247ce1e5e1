"""What arg_sync consumes: closed documents, generated batches and its operator commands.

A command about a batch that is not closed yet is held, because the invoicer may be about to commit
the batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.handlers import commands as connection_commands
from services.arg_sync.deliveries.handlers import commands as delivery_commands
from services.arg_sync.deliveries.handlers import consuming
from services.arg_sync.deliveries.store import deliveries
from services.arg_sync.deliveries.store import messages as delivery_messages
from services.arg_sync.mail.handlers import commands as mail_commands
from services.arg_sync.mail.handlers import reminders
from services.arg_sync.payments import store as payment_store
from services.arg_sync.payments.handlers import commands as payment_commands
from services.arg_sync.reconciliation import handlers as reconciliation
from services.arg_sync.reconciliation.store import drifts
from shared.consumer import dead_letter_content, tables
from shared.consumer.access import AccessRefused
from shared.consumer.commands import CommandDispatcher
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied, Received
from shared.consumer.unit_of_work import MessageBuilder
from shared.events.commands import (
    OPERATOR_COMMAND,
    AdoptDelivery,
    AnyCommand,
    CheckLedger,
    DisconnectLedger,
    ImportMapping,
    MarkPosted,
    PollLedger,
    Reconcile,
    RecordBounces,
    ResyncDelivery,
    RetryDelivery,
    SyncBatch,
)

NAME = "arg_sync"
HELD_MINUTES = 15
"""How long a command waits for its batch."""


async def apply_or_hold(
    connection: AsyncConnection, received: Sequence[Received[AnyCommand]]
) -> Applied:
    """Answer a command; hold a new one whose batch is not closed yet."""
    (one,) = received
    command = one.event
    if (
        not isinstance(command, SyncBatch)
        or await deliveries.batch_company(connection, command.batch_id) is not None
        or await tables.command_row(connection, NAME, command.command_id) is not None
    ):
        return await DISPATCHER.apply(connection, received)
    try:
        await DISPATCHER.check_access(connection, one)
    except AccessRefused as refused:
        return await DISPATCHER.refuse_access(connection, one, refused)
    if await deliveries.hold_command(connection, command, one.record):
        return Applied()
    return await DISPATCHER.refuse_reused_id(connection, command)


async def answer_held(connection: AsyncConnection) -> Applied:
    """Answer held commands whose batch is closed, and refuse those that waited too long."""
    applied = Applied()
    for row in await deliveries.held_commands(connection, HELD_MINUTES):
        if await deliveries.release_command(connection, row.command_id):
            record = dead_letter_content.record_of(row)
            command = OPERATOR_COMMAND.validate_json(record.value or b"")
            applied.add(await DISPATCHER.apply(connection, [Received(command, record)]))
    return applied


def subscriptions() -> Mapping[str, Subscription]:
    """Return the subscriptions by topic."""
    commands = replace(DISPATCHER.subscription(), apply=apply_or_hold)
    return {each.topic: each for each in (consuming.INVOICES, consuming.BATCHES, commands)}


DISPATCHER = CommandDispatcher(
    NAME,
    handlers={
        **connection_commands.HANDLERS,
        **delivery_commands.HANDLERS,
        **mail_commands.HANDLERS,
        **reminders.HANDLERS,
        **payment_commands.HANDLERS,
        **reconciliation.HANDLERS,
    },
    subscriptions=subscriptions,
    republish=delivery_commands.on_republish,
    companies_of={
        **dict.fromkeys(
            (
                CheckLedger,
                DisconnectLedger,
                ImportMapping,
                RetryDelivery,
                ResyncDelivery,
                AdoptDelivery,
                MarkPosted,
                PollLedger,
                Reconcile,
            ),
            connection_commands.companies_of,
        ),
        RecordBounces: mail_commands.companies_of_bounces,
    },
)
MESSAGE_BUILDERS: Mapping[str, MessageBuilder] = {
    **delivery_messages.MESSAGE_BUILDERS,
    **payment_store.MESSAGE_BUILDERS,
    **drifts.MESSAGE_BUILDERS,
}
