"""The readers of a worker: looks which connections have payments to read or a reconciliation to do, and lets each of them work by itself."""

import random
from collections.abc import Mapping

from services.arg_sync.handlers import outcomes, payments, reconcile
from services.arg_sync.handlers.ports import PortBook
from services.arg_sync.handlers.reading import Reading
from services.arg_sync.handlers.tasks import Tasks
from services.arg_sync.ledgers.port import Failure, Kind
from services.arg_sync.rules.backoff import Chances
from services.arg_sync.store import connections, reconciliations
from services.arg_sync.store import payments as polls
from shared.consumer.protocol import UnitOfWork

WORKS = {"payments": payments.poll, "reconcile": reconcile.carry_on}
DRAIN_SECONDS = 5.0


class Readers:
    """What one worker reads. Reads may be broken off at any moment: nothing of them is kept before its transaction."""

    def __init__(
        self,
        books: UnitOfWork,
        kinds: Mapping[str, Kind],
        holder: str,
        chances: Chances = random.random,
    ) -> None:
        self._books = books
        self._ports = {
            what: PortBook(books.engine, kinds) for what in WORKS
        }  # one each: a changed port is closed when nobody works with it
        self._holder = holder
        self._chances = chances
        self._tasks = Tasks()

    async def look(self) -> int:
        """Starts what is due; how many are at work. Raises what one died of."""
        self._tasks.forget_ended()
        async with self._books.engine.begin() as connection:
            await reconciliations.ask_nightly(connection)
            due = [("payments", each) for each in await polls.due(connection)] + [
                ("reconcile", each) for each in await reconciliations.due(connection)
            ]
        for what, ledger in due:
            if (name := f"{what} {ledger}") not in self._tasks:
                self._tasks.begin(name, self._work(what, ledger))
        return len(self._tasks)

    async def _work(self, what: str, ledger: str) -> None:
        async with self._books.engine.connect() as connection:
            known = await connections.connection_for(connection, ledger)
        if known is None:
            return
        try:
            plugged = await self._ports[what].port_for(known)
        except Failure as failed:
            async with self._books.engine.begin() as connection:
                await outcomes.stop(connection, known, failed.message)
            return
        await WORKS[what](
            Reading(self._books, known, plugged, f"{what}/{self._holder}", self._chances)
        )

    async def until_idle(self, seconds: float = 60.0) -> None:
        """Works until nothing is due: for tests and for one-shot use."""
        await self._tasks.until_idle(self.look, seconds)

    async def drain(self) -> None:
        """Ends what is in hand, soon."""
        await self._tasks.end(DRAIN_SECONDS)
        for ports in self._ports.values():
            await ports.close()
