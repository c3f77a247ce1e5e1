"""The base of the worker's loops: each finds connections with due work and works on them in tasks.

Connections do not wait for each other, and a task that fails stops the worker. Mail accounts are
worked on in the same way.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from services.arg_sync.connections.handlers.adapters import AdapterPool, OpenAdapter
from services.arg_sync.connections.handlers.checks import fail_to_open
from services.arg_sync.connections.rules import Jitter
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.ledgers.adapter import AdapterSpec
from services.arg_sync.ledgers.failures import Failure
from shared.consumer.unit_of_work import UnitOfWork

LEASES_SECONDS = 2.0


class Named(Protocol):
    """What has work: a connection or a mail account."""

    @property
    def name(self) -> str:
        """Return the name, which no other of its kind has."""


Due = TypeVar("Due", bound=Named)


class DueLoop(Generic[Due]):
    """One kind of work of one worker process. `holder` names the worker in leases and slots."""

    drain_seconds: ClassVar[float] = 5.0
    _leases_at = 0.0

    def __init__(
        self, unit_of_work: UnitOfWork, holder: str, jitter: Jitter = random.random
    ) -> None:
        self.unit_of_work = unit_of_work
        self.holder = holder
        self.jitter = jitter
        self.stopping = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def end_leases(self) -> None:
        """Let the work of killed workers continue; a loop without leases has none."""

    async def due(self) -> Sequence[Due]:
        """Return what has work now."""
        raise NotImplementedError

    async def work_on(self, due: Due) -> None:
        """Do the work of one of these."""
        raise NotImplementedError

    async def start_due_work(self) -> int:
        """Start a task for each that is due and has none; return the number of tasks.

        Raises the exception of a task that failed.
        """
        for name, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[name]
                task.result()
        if time.monotonic() >= self._leases_at:
            self._leases_at = time.monotonic() + LEASES_SECONDS
            await self.end_leases()
        for each in await self.due():
            if each.name not in self._tasks and not self.stopping.is_set():
                name = f"{type(self).__name__} {each.name}"
                self._tasks[each.name] = asyncio.create_task(self.work_on(each), name=name)
        return len(self._tasks)

    async def run_until_idle(self, seconds: float = 60.0) -> None:
        """Work until nothing is due: for tests and for one-time use."""
        async with asyncio.timeout(seconds):
            while await self.start_due_work():
                await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)

    async def drain(self) -> None:
        """Start nothing more; wait for the running tasks, and cancel those that take too long."""
        self.stopping.set()
        tasks = self._tasks.values()
        if tasks:
            await asyncio.wait(tasks, timeout=self.drain_seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class ConnectionLoop(DueLoop[LedgerConnection]):
    """One kind of work on connections to ledgers, with an open adapter of each."""

    def __init__(
        self,
        unit_of_work: UnitOfWork,
        specs: Mapping[str, AdapterSpec],
        holder: str,
        jitter: Jitter = random.random,
    ) -> None:
        super().__init__(unit_of_work, holder, jitter)
        self.specs = specs
        self._adapters = AdapterPool(unit_of_work.engine, specs)

    async def work(self, ledger: LedgerConnection, open_adapter: OpenAdapter) -> None:
        """Do the work of one connection."""
        raise NotImplementedError

    async def work_on(self, due: LedgerConnection) -> None:
        """Open the adapter of the connection, then do its work."""
        try:
            open_adapter = await self._adapters.adapter_for(due)
        except Failure as failed:
            await fail_to_open(self.unit_of_work.engine, due, failed)
            return
        await self.work(due, open_adapter)

    async def drain(self) -> None:
        """End the tasks, then close the adapters."""
        await super().drain()
        await self._adapters.close()
