"""Read calls to a ledger, within the rate budget and in a call slot of their own.

Deliveries continue meanwhile. With `order="connection"` a read needs no slot: the order of
documents is our rule there, not a limit of the ledger.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from services.arg_sync.connections.handlers.adapters import OpenAdapter
from services.arg_sync.connections.handlers.circuit import open_circuit, stop_connection
from services.arg_sync.connections.rules import Jitter
from services.arg_sync.connections.store import budget
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.ledgers.adapter import LedgerAdapter
from services.arg_sync.ledgers.failures import Failure
from shared.consumer.unit_of_work import UnitOfWork

SLOT_SECONDS = 600.0
BUSY = "busy"
Result = TypeVar("Result")


@dataclass(frozen=True)
class LedgerReader:
    """Reads one connection. `holder` names what reads and in which worker."""

    unit_of_work: UnitOfWork
    connection: LedgerConnection
    open_adapter: OpenAdapter
    holder: str
    jitter: Jitter

    @property
    def ledger(self) -> str:
        """The name of the connection."""
        return self.connection.name

    @property
    def adapter(self) -> LedgerAdapter:
        """The adapter whose calls `read` makes."""
        return self.open_adapter.adapter

    async def read(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Make a call that changes nothing. Raises a `busy` failure if no slot is free."""
        async with self._slot():
            return await self.open_adapter.read(call)

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        can, engine = self.open_adapter.capabilities, self.unit_of_work.engine
        if can.order == "connection":
            yield
            return
        async with engine.begin() as connection:
            taken = await budget.take_one_slot(
                connection, self.ledger, self.holder, can.concurrency, SLOT_SECONDS
            )
        if not taken:
            message = f"all {can.concurrency} parallel calls of {self.ledger} are in use"
            raise Failure("transient", BUSY, message)
        try:
            yield
        finally:
            async with engine.begin() as connection:
                await budget.release_slots(connection, self.ledger, self.holder)

    async def record_failure(self, failed: Failure) -> None:
        """Stop the connection or open its circuit, as a failed delivery does."""
        async with self.unit_of_work.engine.begin() as connection:
            if failed.failure == "auth":
                await stop_connection(connection, self.connection, failed)
            elif failed.everywhere:
                await open_circuit(
                    connection, self.connection, failed.retry_after, failed.message, self.jitter
                )
