"""The base of the worker's loops: each finds connections with due work and works on them in tasks.

Connections do not wait for each other, and a task that fails stops the worker.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import ClassVar

from services.arg_sync.connections.handlers.adapters import AdapterPool, OpenAdapter
from services.arg_sync.connections.handlers.checks import fail_to_open
from services.arg_sync.connections.rules import Jitter
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.ledgers.adapter import AdapterSpec
from services.arg_sync.ledgers.failures import Failure
from shared.consumer.unit_of_work import UnitOfWork


class ConnectionLoop:
    """One kind of work of one worker process. `holder` names the worker in leases and slots."""

    drain_seconds: ClassVar[float] = 5.0

    def __init__(
        self,
        unit_of_work: UnitOfWork,
        specs: Mapping[str, AdapterSpec],
        holder: str,
        jitter: Jitter = random.random,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.specs = specs
        self.holder = holder
        self.jitter = jitter
        self.stopping = asyncio.Event()
        self._adapters = AdapterPool(unit_of_work.engine, specs)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def due(self) -> list[LedgerConnection]:
        """Return the connections that have work now."""
        raise NotImplementedError

    async def work(self, ledger: LedgerConnection, open_adapter: OpenAdapter) -> None:
        """Do the work of one connection."""
        raise NotImplementedError

    async def start_due_work(self) -> int:
        """Start a task for each due connection without one; return the number of tasks.

        Raises the exception of a task that failed.
        """
        for name, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[name]
                task.result()
        for ledger in await self.due():
            if ledger.name not in self._tasks and not self.stopping.is_set():
                name = f"{type(self).__name__} {ledger.name}"
                self._tasks[ledger.name] = asyncio.create_task(
                    self._open_and_work(ledger), name=name
                )
        return len(self._tasks)

    async def _open_and_work(self, ledger: LedgerConnection) -> None:
        try:
            open_adapter = await self._adapters.adapter_for(ledger)
        except Failure as failed:
            await fail_to_open(self.unit_of_work.engine, ledger, failed)
            return
        await self.work(ledger, open_adapter)

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
        await self._adapters.close()
