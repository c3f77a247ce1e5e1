"""Keeps workers alive while a test kills them: each dead worker is started again at once, with the next crash point of its list.

Counts from outside what fired: a crash leaves a file, and the process must have died of SIGKILL.
"""

import asyncio
import contextlib
import signal
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.running import WORKERS, Running, start

SHUTDOWN = "in_shutdown"
SOON_SECONDS = 0.8


@dataclass
class Keeper:
    """The workers of a run. `plan` says for each service which crash points it meets, one after the other (`name` or `name:n`)."""

    environment: dict[str, str]
    folder: Path
    plan: Mapping[str, Iterable[str]] = field(default_factory=dict)
    batch_records: int = 20
    fired: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    _left: dict[str, deque[str]] = field(default_factory=dict)
    _now: dict[str, Running] = field(default_factory=dict)
    _point: dict[str, str] = field(default_factory=dict)
    _over: bool = False
    _healed: bool = False

    async def keep(self, service: str) -> None:
        """Starts the worker again and again until the run is over."""
        self._left[service] = deque(self.plan.get(service, ()))
        while not self._over:
            point = self._left[service].popleft() if self._left[service] else ""
            self._point[service] = point
            worker = self._now[service] = await start(
                service, self.environment, self.folder, crash=point, pause=self.folder, max_batch_records=self.batch_records
            )
            if point.startswith(SHUTDOWN):
                asyncio.get_running_loop().call_later(SOON_SECONDS * 4, self._ask, worker)
            code = await worker.process.wait()
            if self._over:
                return
            self.restarts += 1
            marked = self.folder / f"{point.partition(':')[0]}.{worker.process.pid}.fired"
            if code == -signal.SIGKILL and point and marked.exists():
                self.fired[point.partition(":")[0]] += 1
            elif point and code != 0 and not self._healed:
                self._left[service].appendleft(point)  # it died of something else (its name was still taken, a server was away)
                await asyncio.sleep(0.2)

    def _ask(self, worker: Running) -> None:
        if worker.process.returncode is None:
            worker.process.send_signal(signal.SIGTERM)

    @property
    def waiting(self) -> int:
        """Crash points that have not fired yet."""
        return sum(map(len, self._left.values())) + sum(1 for service, point in self._point.items() if point and self._now[service].process.returncode is None)

    def kill(self, service: str) -> None:
        """kill -9, wherever the worker is."""
        with contextlib.suppress(ProcessLookupError):
            self._now[service].process.kill()

    def heal(self) -> None:
        """No more crash points: whoever still carries one is killed and comes back without."""
        self._healed = True
        for service in self._left:
            self._left[service].clear()
            if self._point.get(service):
                self.kill(service)

    async def end(self) -> None:
        """Stops the workers for good; each must end with 0."""
        self._over = True
        await asyncio.gather(*(worker.stop() for worker in self._now.values()))


@contextlib.asynccontextmanager
async def kept(keeper: Keeper, services: Iterable[str] = WORKERS) -> AsyncIterator[Keeper]:
    """The workers run while the block lasts."""
    tasks = [asyncio.create_task(keeper.keep(service)) for service in services]
    await asyncio.sleep(0.1)
    try:
        yield keeper
        await keeper.end()
    finally:
        keeper._over = True
        for worker in keeper._now.values():
            if worker.process.returncode is None:
                worker.process.kill()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
