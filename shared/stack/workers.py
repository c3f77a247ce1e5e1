"""The worker processes: one process per replica, with its log, its port and its restarts."""

import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from shared.broker.security import SETTINGS_OF_KAFKA
from shared.errors import Refused, Unavailable
from shared.logins import address_of
from shared.settings import Settings
from shared.stack.forking import Forker
from shared.stack.liveness import http_answer
from shared.stack.ports import HOST, Ports
from shared.stack.process import Child, Launch, python_environment, start_child, tail
from shared.stack.tending import Part

LAG_EXPORTER = "lag_exporter"
"""It exports the lag of all consumer groups, and is tended like a worker."""
STANDARD = ("fee_realizer", "scheduler", "invoicer", "arg_sync", LAG_EXPORTER)
WEB_CONSOLE = "console"
"""It shows the data in a browser, and is tended like a worker."""
WITH_CONSOLE = (*STANDARD, WEB_CONSOLE)
"""What `up` starts."""
READY_TIMEOUT_SECONDS = 90.0
ENDS_BEFORE_READY = 5
STOP_PATIENCE_SECONDS = 20.0
LIVE_LIMIT_SECONDS = 60.0
OK = 200
SETTINGS = tuple(each.name for each in fields(Settings))
OF_THE_CONSOLE = tuple(
    name for name in SETTINGS if name.startswith(("console_key_file", "openid_"))
)
"""Settings with secrets that the console alone has."""
# What the stack decides by itself is left out.
WORKER_SETTINGS = tuple(
    {*SETTINGS}
    - {"stack", "database_url", "data", "cache", "workers", "ports", "commands", "key_file"}
    - {*OF_THE_CONSOLE, *SETTINGS_OF_KAFKA}
)


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
    unknown = sorted(set(wished) - set(numbers) - set(WITH_CONSOLE))
    if unknown:
        raise Refused(
            "worker-unknown",
            f"BACKOFFICE_WORKERS names {', '.join(unknown)}.",
            f"The workers are {', '.join(WITH_CONSOLE)}.",
        )
    return {name: wished.get(name, number) for name, number in numbers.items()}


def module_of(service: str) -> str:
    """The module that runs as the process of this name."""
    if service == WEB_CONSOLE:
        return "services.console.web"
    return f"shared.{service}" if service == LAG_EXPORTER else f"services.{service}.app"


class Worker(Part):
    """One replica of a worker."""

    def __init__(
        self,
        data: Path,
        service: str,
        replica: int,
        ports: Ports,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        forker: Forker | None = None,
        live_limit_seconds: float = LIVE_LIMIT_SECONDS,
    ) -> None:
        name = f"{service}-{replica}"
        super().__init__(name, data / "logs" / f"{name}.log", say, live_limit_seconds)
        self.service = service
        self.replica = str(replica)
        self.port = 0
        self._data = data
        self._ports = ports
        self._environment = environment
        self._forker = forker
        self._child: Child | None = None

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
        # a worker has its own login only; the lag exporter needs none, the console two
        database_url = environment.pop("BACKOFFICE_DATABASE_URL", "")
        if self.service == WEB_CONSOLE:
            environment |= python_environment(*OF_THE_CONSOLE, database_url=database_url)
        elif self.service != LAG_EXPORTER:
            environment["BACKOFFICE_DATABASE_URL"] = address_of(self.service, database_url)
        launch = Launch(
            name=self.name,
            command=(sys.executable, "-m", module_of(self.service)),
            log=self.log,
            environment=environment,
            stop_signal=signal.SIGTERM,
            # safe by the protocol, and a worker that hangs cannot outlive the stack
            death_signal=signal.SIGKILL,
        )
        if self._forker is not None:
            self._child = self._forker.start(launch)
        else:
            self._child = start_child(self._data, launch)
        self.began()

    def kill(self) -> None:
        """End it with SIGKILL: the protocol loses nothing."""
        if self._child is not None:
            self._child.kill()

    def exit_code(self) -> int | None:
        """Return None while it runs; a negative number is the signal that ended it."""
        return self._child.exit_code() if self._child else None

    def answers(self) -> bool:
        """Whether its event loop answers."""
        return http_answer(self.port, "/livez")[0] == OK

    def is_ready(self) -> bool:
        """Whether the worker reports progress."""
        ready = readiness(self.port)[0]
        self._answered |= ready
        return ready

    def ask_to_stop(self) -> None:
        """Ask it to stop without waiting, so that all workers stop at the same time."""
        self.retire()
        if self._child is not None:
            self._child.ask()

    def stop(self) -> None:
        """Stop the worker and wait."""
        self.retire()
        if self._child is not None:
            self._child.end(STOP_PATIENCE_SECONDS)
            self._child = None


def readiness(port: int) -> tuple[bool, str]:
    """Return whether the worker on this port answers 200 to /readyz, and what it says."""
    status, text = http_answer(port, "/readyz")
    return status == OK, text


def wait_until_ready(
    workers: list[Worker],
    tend: Callable[[], None],
    timeout_seconds: float = READY_TIMEOUT_SECONDS,
) -> None:
    """Wait until all workers are ready.

    Fails with the end of the log of the first one that is not.
    """
    deadline = time.monotonic() + timeout_seconds
    # All are asked in each round: one that was ready for a moment and ended is not ready.
    while waiting := [worker for worker in workers if not worker.is_ready()]:
        tend()
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
