"""One connection at work: a feeder takes deliveries and makes them ready, lanes send them, a recorder stores outcomes, several at once.

A run ends when nothing is due, when the connection is in trouble, or when the worker stops; what it took and did not touch goes back.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.arg_sync.handlers import outcomes as recorded
from services.arg_sync.handlers.ports import Plugged
from services.arg_sync.handlers.preparing import Preparer
from services.arg_sync.handlers.sending import Outcome, Prepared, Sender
from services.arg_sync.ledgers.port import Failure, Found
from services.arg_sync.rules.backoff import Chances
from services.arg_sync.rules.claiming import Lease, hold_seconds, lease_for
from services.arg_sync.store import budget, claims, connections
from services.arg_sync.store.claims import Taken
from services.arg_sync.store.connections import Connection
from shared import faults
from shared.consumer.protocol import UnitOfWork

AHEAD = 12
RUN_IN_ORDER = 10
MOST_TAKEN = 120
IDLE_SECONDS = 0.1
WATCH_SECONDS = 1.0
LINGER_SECONDS = 0.02
"""Outcomes wait so long for others, to be stored together. Where one goes after the other they wait for nothing."""


@dataclass
class Run:
    """What one worker does for one connection until there is nothing left to do. `connection` as it stands now, `plugged` its port."""

    books: UnitOfWork
    connection: Connection
    plugged: Plugged
    holder: str
    chances: Chances
    stopping: asyncio.Event
    trouble: Failure | None = None
    _ready: deque[Prepared] = field(default_factory=deque)
    _done: list[Outcome] = field(default_factory=list)
    _bell: asyncio.Condition = field(default_factory=asyncio.Condition)
    _slots: int = 0
    _slots_until: float = 0.0
    _at_work: int = 0
    _storing: bool = False
    _fed: bool = False
    _sent: bool = False
    _broken: bool = False

    def __post_init__(self) -> None:
        can = self.plugged.capabilities
        self._can = can
        self._lease: Lease = lease_for(
            can.request_seconds,
            can.server_seconds,
            hold_seconds(can.per_minute, can.concurrency, can.request_seconds),
        )
        self._proved = self.connection.failures == 0

    async def go(self) -> None:
        """Works until nothing is due."""
        wished = 1 if self._can.order == "connection" else self._can.concurrency
        self._slots = await self._take_slots(wished)
        if not self._slots:
            return  # other workers have them all
        gate = asyncio.Semaphore(self._slots)
        self._preparer = Preparer(self.plugged, gate, self.chances, self.books.engine)
        self._sender = Sender(self.plugged, gate, self.chances, self)
        recorder, watcher = asyncio.create_task(self._record()), asyncio.create_task(self._watch())
        workers = [
            asyncio.create_task(self._feed()),
            *(asyncio.create_task(self._lane()) for _ in range(self._slots)),
        ]
        try:
            await _all_or_none([*workers, recorder, watcher], workers)
            await self._ring(sent=True)
            await recorder
        finally:
            for task in [*workers, recorder, watcher]:
                task.cancel()
            await asyncio.gather(*workers, recorder, watcher, return_exceptions=True)
            await self._leave()

    async def _watch(self) -> None:
        """Ends the run when an operator ended or changed the connection, or another worker stopped it: what is not sent yet goes back."""
        while not self._over:
            await asyncio.sleep(WATCH_SECONDS)
            async with self.books.engine.connect() as connection:
                self._broken |= not await connections.may_send(
                    connection, self.connection.ledger, self.connection.generation
                )
        await self._ring()

    # -- taking

    async def _feed(self) -> None:
        ahead = (
            RUN_IN_ORDER
            if self._can.order == "connection"
            else min(MOST_TAKEN, self._slots * AHEAD * self._can.batch_max)
        )
        try:
            while not self._over:
                room = (
                    ahead - len(self._ready) if self._proved else 0 if self._busy else 1
                )  # in trouble lately: one goes ahead
                if room > ahead // 3 or (room and not self._proved):
                    taken, write_before = await self._claim(room)
                    if taken:
                        await self._make_ready(taken, write_before)
                        continue
                    if not self._busy:
                        return
                await self._moved()
        finally:
            self._fed = True
            await self._ring()

    async def _claim(self, room: int) -> tuple[list[Taken], float]:
        began = time.monotonic()
        async with self.books.engine.begin() as connection:
            if began > self._slots_until:  # long before they run out
                self._slots_until = began + self._lease.whole_seconds / 3
                if (
                    await budget.keep_slots(
                        connection, self.connection.ledger, self.holder, self._lease.whole_seconds
                    )
                    < self._slots
                ):
                    self._broken = True  # they ran out, and another has them
                    return [], 0.0
            taken = await claims.take(
                connection, self.connection.ledger, self.holder, self._can.order, room, self._lease
            )
        await faults.point("delivery_taken")
        return taken, began + self._lease.write_seconds

    async def _make_ready(self, taken: Sequence[Taken], write_before: float) -> None:
        ready = await self._preparer.prepare(taken, write_before)
        self._ready.extend(ready.prepared)
        await self._finish(ready.outcomes)

    @property
    def _busy(self) -> bool:
        return bool(self._at_work or self._ready or self._done or self._storing)

    @property
    def _over(self) -> bool:
        return self._broken or self.stopping.is_set()

    # -- sending

    async def _lane(self) -> None:
        while True:
            async with self._bell:
                await self._bell.wait_for(lambda: self._ready or self._fed or self._over)
                if self._over or not self._ready:
                    return
                if time.monotonic() > self._ready[0].write_before - self._can.request_seconds:
                    self._broken = True  # too little of the lease is left to begin: all of it goes back, and is taken anew
                    return
                group = self._group()
                self._at_work += 1
            try:
                outcomes = await self._sender.send(group)
            finally:
                self._at_work -= 1
            await self._finish(outcomes)

    def _group(self) -> list[Prepared]:
        """One, or several that were never sent, where the ledger takes several in a call."""
        group = [self._ready.popleft()]
        while (
            len(group) < self._can.batch_max
            and self._ready
            and _never_sent(group[0])
            and _never_sent(self._ready[0])
        ):
            group.append(self._ready.popleft())
        return group

    async def _finish(self, outcomes: Sequence[Outcome]) -> None:
        """Hands outcomes to the recorder; trouble of the connection ends the run, and so does a gap where order matters."""
        for outcome in outcomes:
            self._done.append(outcome)
            if outcome.failure is not None:
                self.trouble = self.trouble or outcome.failure
                self._broken = True
            if outcome.next.state == "posted":
                self._proved = True
            elif self._can.order == "connection" and outcome.next.state != "refused":
                self._broken = True
        await self._ring()

    async def keep(self, taken: Taken, found: Found) -> bool:
        """Keeps the id of a draft before it is posted; False if the lease is another's by now."""
        async with self.books.engine.begin() as connection:
            return await claims.keep_draft(
                connection, taken, found.remote_id, found.remote_number, "draft"
            )

    async def remote_id(self, taken: Taken) -> str | None:
        """The id that is kept for the delivery now."""
        async with self.books.engine.begin() as connection:
            return await claims.remote_id_of(connection, taken.delivery_id)

    # -- storing

    async def _record(self) -> None:
        while True:
            async with self._bell:
                await self._bell.wait_for(lambda: self._done or self._sent)
            if not self._sent and self._slots > 1:
                await asyncio.sleep(LINGER_SECONDS)
            async with self._bell:
                outcomes, self._done = self._done, []
                self._storing = bool(outcomes)
            if not outcomes:
                return
            await recorded.store(self.books, self.connection, outcomes, self.holder, self.chances)
            self._storing = False
            await self._ring()

    async def _leave(self) -> None:
        """What was taken and not touched goes back, and so do the slots."""
        left = [one.taken for one in self._ready]
        async with self.books.engine.begin() as connection:
            if left:
                await claims.give_back(connection, left)
            await budget.give_slots_back(connection, self.connection.ledger, self.holder)

    async def _take_slots(self, wished: int) -> int:
        async with self.books.engine.begin() as connection:
            return await budget.take_slots(
                connection, self.connection.ledger, self.holder, wished, self._lease.whole_seconds
            )

    async def _ring(self, sent: bool = False) -> None:
        async with self._bell:
            self._sent = self._sent or sent
            self._bell.notify_all()

    async def _moved(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS), self._bell:
                await self._bell.wait()


def _never_sent(one: Prepared) -> bool:
    return not one.taken.doubt and one.taken.remote_id is None


async def _all_or_none(
    watched: Sequence[asyncio.Task[None]], awaited: Sequence[asyncio.Task[None]]
) -> None:
    """Waits for the awaited; the first of the watched that fails is raised."""
    waiting = set(watched)
    while not all(task.done() for task in awaited):
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    for task in awaited:
        task.result()
