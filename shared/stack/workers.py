"""The worker processes: one process per replica, with its log, its port and its restarts."""

import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from shared.errors import Refused, Unavailable
from shared.settings import Settings
from shared.stack.ports import HOST, Ports
from shared.stack.process import (
    Child,
    Launch,
    python_environment,
    record_path,
    start_child,
    tail,
)

STANDARD = ("fee_realizer", "scheduler", "invoicer", "arg_sync")
READY_TIMEOUT_SECONDS = 90.0
ENDS_BEFORE_READY = 5
STOP_PATIENCE_SECONDS = 20.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
STEADY_SECONDS = 60.0
ASK_TIMEOUT_SECONDS = 2.0
# What the stack decides by itself is left out.
WORKER_SETTINGS = tuple(
    {each.name for each in fields(Settings)}
    - {"stack", "kafka", "database_url", "data", "cache", "workers", "ports"}
)
CLEAN_EXITS = (0, -signal.SIGTERM, 128 + signal.SIGTERM)
"""A worker that was asked to stop: by itself, by the signal's own action, or as a shell reports
it.
"""


def parse_numbers(text: str, setting: str) -> dict[str, int]:
    """Parse `fee_realizer=2,invoicer=2` into a dict."""
    numbers: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = part.partition("=")
        if not equals or not number.strip().isdigit():
            raise Refused(
                "setting-unreadable",
                f"{setting} is {text!r}: {part!r} is not NAME=NUMBER.",
                f"Write it like {setting}=fee_realizer=2,invoicer=2.",
            )
        numbers[name.strip()] = int(number)
    return numbers


def replicas_of(
    names: Mapping[str, int] | tuple[str, ...] | list[str], setting: str
) -> dict[str, int]:
    """Return how many replicas of each named worker to run, by BACKOFFICE_WORKERS."""
    numbers = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, 1)
    wished = parse_numbers(setting, "BACKOFFICE_WORKERS")
    unknown = sorted(set(wished) - set(numbers) - set(STANDARD))
    if unknown:
        raise Refused(
            "worker-unknown",
            f"BACKOFFICE_WORKERS names {', '.join(unknown)}.",
            f"The workers are {', '.join(STANDARD)}.",
        )
    return {name: wished.get(name, number) for name, number in numbers.items()}


class Worker:
    """One replica of a worker."""

    def __init__(
        self,
        data: Path,
        service: str,
        replica: int,
        ports: Ports,
        environment: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self.service = service
        self.replica = str(replica)
        self.name = f"{service}-{replica}"
        self.log = data / "logs" / f"{self.name}.log"
        self.port = 0
        self.restarts = 0
        self._data = data
        self._ports = ports
        self._environment = environment
        self._say = say
        self._child: Child | None = None
        self._started = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._again_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None if it does not run."""
        return self._child.pid if self._child and self._child.exit_code() is None else None

    def start(self) -> None:
        """Start the process; readiness is checked separately."""
        self.port = self._ports.take(self.name)
        environment = {
            **python_environment(*WORKER_SETTINGS),
            **self._environment,
            "BACKOFFICE_HTTP_PORT": str(self.port),
            "BACKOFFICE_REPLICA": self.replica,
            "PYTHONUNBUFFERED": "1",
        }
        launch = Launch(
            name=self.name,
            command=(sys.executable, "-m", f"services.{self.service}.app"),
            log=self.log,
            environment=environment,
            stop_signal=signal.SIGTERM,
            # safe by the protocol, and a worker that hangs cannot outlive the stack
            death_signal=signal.SIGKILL,
        )
        self._again_at = None
        self._started = time.monotonic()
        self._child = start_child(self._data, launch)

    def restart_failed(self) -> bool:
        """Restart the process some time after it failed. Returns whether something changed."""
        now = time.monotonic()
        if self._again_at is not None:
            if now < self._again_at:
                return False
            self.restarts += 1
            self.start()
            return True
        code = self._child.exit_code() if self._child else None
        if self._child is None or code is None:
            return False
        record_path(self._data, self.name).unlink(missing_ok=True)
        self._child = None
        if code in CLEAN_EXITS:
            self._say(f"{self.name} was stopped and stays down; its log: {self.log}")
            return True
        if now - self._started > STEADY_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit {code}"
        self._say(
            f"{self.name} {how}; it is started again in {self._pause:.1f} s. Its log: {self.log}"
        )
        self._again_at = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return True

    def is_ready(self) -> bool:
        """Whether the worker reports progress."""
        return is_ready(self.port)

    def ask_to_stop(self) -> None:
        """Ask it to stop without waiting, so that all workers stop at the same time."""
        self._again_at = None
        if self._child is not None:
            self._child.ask()

    def stop(self) -> None:
        """Stop the worker and wait."""
        self._again_at = None
        if self._child is not None:
            self._child.end(STOP_PATIENCE_SECONDS)
            self._child = None


def is_ready(port: int) -> bool:
    """Whether the worker on this port answers 200 to /readyz."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # a proxy in the environment is not for this machine
    try:
        with opener.open(f"http://{HOST}:{port}/readyz", timeout=ASK_TIMEOUT_SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def wait_until_ready(
    workers: list[Worker],
    restart_failed: Callable[[], None],
    timeout_seconds: float = READY_TIMEOUT_SECONDS,
) -> None:
    """Wait until all workers are ready.

    Fails with the end of the log of the first one that is not.
    """
    deadline = time.monotonic() + timeout_seconds
    # All are asked in each round: one that was ready for a moment and ended is not ready.
    while waiting := [worker for worker in workers if not worker.is_ready()]:
        restart_failed()
        first = waiting[0]
        broken = next((worker for worker in waiting if worker.restarts >= ENDS_BEFORE_READY), None)
        if broken is not None:
            raise Unavailable(
                f"The worker {broken.name} ends again and again. The end of its log"
                f" ({broken.log}):\n{tail(broken.log)}"
            )
        if time.monotonic() > deadline:
            raise Unavailable(
                f"The worker {first.name} was not ready within {timeout_seconds:.0f} s"
                f" (http://{HOST}:{first.port}/readyz). "
                f"The end of its log ({first.log}):\n{tail(first.log)}"
            )
        time.sleep(0.1)
