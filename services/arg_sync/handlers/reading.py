"""A connection that is only read: under the rate budget and a slot of its own, one reader of a kind at a time. Deliveries go on beside it.

Where documents go one by one (`order="connection"`) that is our order and not a limit of the other side: there a read needs no slot.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from services.arg_sync.handlers import outcomes
from services.arg_sync.handlers.ports import Plugged
from services.arg_sync.handlers.sending import short_retries
from services.arg_sync.ledgers.port import Failure
from services.arg_sync.rules.backoff import Chances
from services.arg_sync.store import budget
from services.arg_sync.store.connections import Connection
from shared.consumer.protocol import UnitOfWork

SLOT_SECONDS = 600.0
BUSY = "busy"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Reading:
    """One reader: `name` tells what it reads, `holder` who."""

    books: UnitOfWork
    connection: Connection
    plugged: Plugged
    holder: str
    chances: Chances

    async def ask(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """A call that changes nothing: a key that is no longer good is renewed once, what may pass is tried again at once."""
        async with self._slot():
            return await short_retries(lambda: self.plugged.asked(call))

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        can, ledger = self.plugged.capabilities, self.connection.ledger
        if can.order == "connection":
            yield
            return
        async with self.books.engine.begin() as connection:
            mine = await budget.take_one_slot(
                connection, ledger, self.holder, can.concurrency, SLOT_SECONDS
            )
        if not mine:
            raise Failure(
                "transient",
                BUSY,
                f"all {can.concurrency} calls that {ledger} takes at once are in use",
            )
        try:
            yield
        finally:
            async with self.books.engine.begin() as connection:
                await budget.give_slots_back(connection, ledger, self.holder)

    async def trouble(self, failed: Failure) -> None:
        """What a failed read means for the connection, as with deliveries: a dead key stops it, a wish to wait holds for all."""
        async with self.books.engine.begin() as connection:
            if failed.failure == "auth":
                await outcomes.stop(connection, self.connection, failed.message)
            elif failed.everywhere:
                await outcomes.open_circuit(
                    connection, self.connection, failed.retry_after, failed.message, self.chances
                )
