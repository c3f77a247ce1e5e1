"""The command that reads payments now; a worker's loop does it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.handlers.commands import require_connection
from services.arg_sync.connections.store.connections import STOPPED
from services.arg_sync.payments import store
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import PollLedger


async def on_poll(connection: AsyncConnection, command: PollLedger) -> Answer:
    """Make the next poll of a connection due; refuse where none can begin."""
    known = await require_connection(connection, command.ledger)
    if known.state in STOPPED:
        raise Refused(
            "ledger_stopped",
            f"{command.ledger} {STOPPED[known.state]}: {known.message}",
            f"when `backoffice ledger test {command.ledger}` succeeds, poll again",
        )
    if known.circuit_open:
        raise Refused(
            "ledger_resting",
            f"{command.ledger} rests after failures: {known.circuit_message}",
            f"see `backoffice ledger status {command.ledger}`; payments are read by themselves"
            " when it answers",
        )
    await store.request_poll(connection, command.ledger)
    return Answer(
        f"payments of {command.ledger} are being read",
        details={"ledger": command.ledger},
        subjects=[command.ledger],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {PollLedger: on_poll}
