"""The delivery engine of a worker: looks which connections have work, and lets each of them work by itself: none waits for another."""

import asyncio
import random
import time
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.handlers import outcomes
from services.arg_sync.handlers.holders import is_dead
from services.arg_sync.handlers.ports import PortBook
from services.arg_sync.handlers.running import Run
from services.arg_sync.handlers.tasks import Tasks
from services.arg_sync.ledgers.kinds import capabilities_of
from services.arg_sync.ledgers.port import Failure, Kind
from services.arg_sync.rules.backoff import Chances, after_trouble
from services.arg_sync.rules.claiming import MARGIN_SECONDS
from services.arg_sync.store import claims, connections
from services.arg_sync.store.connections import Connection
from shared.consumer.protocol import UnitOfWork

DRAIN_SECONDS = 40.0
INHERIT_SECONDS = 2.0


class Engine:
    """The runs of one worker process. `holder`: the name under which it holds leases and slots."""

    def __init__(
        self,
        books: UnitOfWork,
        kinds: Mapping[str, Kind],
        holder: str,
        chances: Chances = random.random,
    ) -> None:
        self._books = books
        self._ports = PortBook(books.engine, kinds)
        self._kinds = kinds
        self._holder = holder
        self._inherit_at = 0.0
        self._chances = chances
        self._tasks = Tasks()
        self._stopping = asyncio.Event()

    async def look(self) -> int:
        """Starts a run for each connection that has work and none; how many are at work. Raises what a run died of."""
        self._tasks.forget_ended()
        await self._inherit()
        async with self._books.engine.connect() as connection:
            found = await connections.ledgers_with_work(connection)
        for each in found:
            if (name := f"ledger {each.ledger}") not in self._tasks and not self._stopping.is_set():
                self._tasks.begin(name, self._work(each))
        return len(self._tasks)

    async def _inherit(self) -> None:
        """Now and then: who died with deliveries in hand leaves them to us as soon as that is safe."""
        now = time.monotonic()
        if now < self._inherit_at:
            return
        self._inherit_at = now + INHERIT_SECONDS
        async with self._books.engine.connect() as connection:
            dead = [
                (ledger, holder)
                for ledger, holder in await claims.holders(connection)
                if is_dead(holder)
            ]
        for ledger, holder in dead:
            async with self._books.engine.begin() as connection:
                await self._inherit_from(connection, ledger, holder)

    async def _inherit_from(self, connection: AsyncConnection, ledger: str, holder: str) -> None:
        known = await connections.connection_for(connection, ledger)
        if known is None or known.kind not in self._kinds:
            return
        can = capabilities_of(self._kinds[known.kind], dict(known.settings))
        await claims.inherit(connection, ledger, holder, can.server_seconds + MARGIN_SECONDS)

    async def drain(self) -> None:
        """Takes nothing more, and ends what is in hand."""
        self._stopping.set()
        await self._tasks.end(DRAIN_SECONDS)
        await self._ports.close()

    async def until_idle(self, seconds: float = 60.0) -> None:
        """Works until nothing is due: for tests and for one-shot use."""
        await self._tasks.until_idle(self.look, seconds)

    async def _work(self, ledger: Connection) -> None:
        try:
            plugged = await self._ports.port_for(ledger)
        except Failure as failed:
            await self._refused(ledger, failed)
            return
        if ledger.check_asked_at is not None:
            await self._check(ledger)
        if ledger.state == "connected" and not ledger.open:
            await Run(
                self._books, ledger, plugged, self._holder, self._chances, self._stopping
            ).go()

    async def _check(self, ledger: Connection) -> None:
        """Looks whether a connection works; one that was stopped goes on if it does."""
        plugged = await self._ports.port_for(ledger)
        try:
            message = await plugged.asked(plugged.port.check)
        except Failure as failed:
            await self._checked(ledger, "failed", f"{failed.code}: {failed.message}")
            return
        await self._checked(ledger, "ok", message)

    async def _checked(self, ledger: Connection, outcome: str, message: str) -> None:
        async with self._books.engine.begin() as connection:
            if (now := await outcomes.still(connection, ledger)) is None:
                return  # its own check is to come
            await connections.add_check(connection, ledger.ledger, outcome, message)
            if outcome == "ok" and now.state == "stopped":
                await connections.set_state(connection, ledger.ledger, "connected")
            if outcome == "ok":
                await connections.close_circuit(connection, ledger.ledger)

    async def _refused(self, ledger: Connection, failed: Failure) -> None:
        """No port can be made of the connection."""
        async with self._books.engine.begin() as connection:
            if await outcomes.still(connection, ledger) is None:
                return
            if ledger.check_asked_at is not None:
                await connections.add_check(
                    connection, ledger.ledger, "failed", f"{failed.code}: {failed.message}"
                )
            if failed.failure == "auth":
                await outcomes.stop(connection, ledger, failed.message)
            else:
                await connections.set_circuit(
                    connection,
                    ledger.ledger,
                    after_trouble(ledger.failures, None, self._chances),
                    failed.message,
                )
