"""Restart workers while a test kills them, each with the next crash point of its list.

What fired is counted from outside: a crash leaves a file, and the process must have died of
SIGKILL. Importing a worker takes seconds, and a run has about sixty starts: so a worker is forked
from a server that has imported it, and then is the process that `-m` would start.
"""

import asyncio
import contextlib
import os
import signal
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.kafka_users import as_user
from tests.running import WORKERS
from tests.system.forked import forks, live

SHUTDOWN = "in_shutdown"
STOP_SECONDS = 60.0
LOOK_SECONDS = 0.05
REST_SECONDS = 0.2


@dataclass
class Kept:
    """A worker process and the crash point that it carries."""

    process: ForkServerProcess
    point: str
    log: Path

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.exitcode is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.alive and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def end(self) -> int:
        """Wait until it has ended; its exit code, negative for the signal that killed it."""
        while self.process.exitcode is None:
            await asyncio.sleep(LOOK_SECONDS)
        return self.process.exitcode

    async def shut_down_when_ready(self) -> None:
        """Send SIGTERM as soon as it consumes.

        Its current batch is finished, or the worker is killed meanwhile.
        """
        while self.alive and '"ready"' not in (self.log.read_text() if self.log.exists() else ""):
            await asyncio.sleep(LOOK_SECONDS)
        self.send(signal.SIGTERM)


@dataclass
class Keeper:
    """The workers of a run, and the count of their deaths. `defect`: a defect in each of them."""

    environment: dict[str, str]
    folder: Path
    batch_records: int = 20
    defect: str = ""
    fired: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    _left: dict[str, deque[str]] = field(default_factory=dict)
    _now: dict[str, Kept] = field(default_factory=dict)
    _over: bool = False

    async def keep(self, service: str) -> None:
        """Restart the worker again and again until the run is over."""
        left = self._left.setdefault(service, deque())
        while not self._over:
            worker = self._now[service] = self.start(service, left.popleft() if left else "")
            commanding = (
                asyncio.create_task(worker.shut_down_when_ready())
                if worker.point.startswith(SHUTDOWN)
                else None
            )
            code = await worker.end()
            if commanding is not None:
                commanding.cancel()
            if self._over:
                return
            self.restarts += 1
            name = worker.point.partition(":")[0].partition("@")[0]
            if (
                code == -signal.SIGKILL
                and (self.folder / f"{name}.{worker.process.pid}.fired").exists()
            ):
                self.fired[name] += 1
                continue
            if worker.point:
                left.appendleft(
                    worker.point
                )  # it died of something else: its name was still taken, a server was away
            await asyncio.sleep(REST_SECONDS)

    def worker(self, service: str) -> Kept:
        """The process that runs now."""
        return self._now[service]

    def start(self, service: str, point: str = "") -> Kept:
        """Start a worker that the caller ends, with a crash point."""
        given = {
            "crash": point,
            "pause": self.folder,
            "max_batch_records": self.batch_records,
            "sweep_seconds": 0.3,
            "log_format": "json",
        }
        environment = as_user(self.environment, service) | {
            f"BACKOFFICE_{name.upper()}": str(value) for name, value in given.items()
        }
        log = self.folder / f"{service}-{uuid.uuid4().hex[:8]}.log"
        process = forks().Process(
            target=live, args=(service, environment, str(log), self.defect), daemon=True
        )
        process.start()
        return Kept(process, point, log)

    def arm(self, service: str, points: Iterable[str]) -> None:
        """Crash points that this worker meets next, in order; without one it is killed anywhere."""
        wanted = list(points)
        self._left[service].extend(wanted)
        self.asked.update(one.partition(":")[0].partition("@")[0] for one in wanted)
        if wanted and not self._now[service].point:
            self.kill(service)

    @property
    def waiting(self) -> int:
        """Crash points that have not fired yet."""
        return self.asked.total() - self.fired.total()

    def kill(self, service: str) -> None:
        """kill -9, wherever the worker is."""
        self._now[service].send(signal.SIGKILL)

    async def stop(self) -> None:
        """Stop the workers for good; each must exit with 0."""
        self._over = True
        for service, worker in self._now.items():
            worker.send(signal.SIGTERM)
            code = await asyncio.wait_for(worker.end(), STOP_SECONDS)
            assert code == 0, f"{service} ended with {code}:\n{worker.log.read_text()[-3000:]}"


@contextlib.asynccontextmanager
async def kept(keeper: Keeper, services: Iterable[str] = WORKERS) -> AsyncIterator[Keeper]:
    """The workers run while the block lasts."""
    tasks = [asyncio.create_task(keeper.keep(service)) for service in services]
    await asyncio.sleep(0)
    try:
        yield keeper
        await keeper.stop()
    finally:
        keeper._over = True
        for worker in keeper._now.values():
            worker.send(signal.SIGKILL)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
