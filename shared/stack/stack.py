"""One running stack: start order, restarts while it runs, and stopping all of it.

It is synchronous and belongs to the process that made it: its children end when that process dies.
Where the machine does not support that, the next command on the data folder ends them.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from shared.errors import Refused, Unavailable
from shared.settings import read_settings
from shared.stack.choice import Broker, Choice, Database, Server, choose_broker, choose_database
from shared.stack.folder import STATE, DataFolder
from shared.stack.ports import Ports
from shared.stack.process import Launch, python_environment, run_child, tail, write_json
from shared.stack.workers import (
    LONGEST_PAUSE_SECONDS,
    Worker,
    parse_numbers,
    replicas_of,
    wait_until_ready,
)

STEP_TIMEOUT_SECONDS = 300.0
RESTART_CHECK_SECONDS = 0.3
SERVER_PAUSE_SECONDS = 1.0


class Stack:
    """Kafka, PostgreSQL and the workers on one data folder.

    `start` starts all of it or leaves nothing running.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        workers: Mapping[str, int] | Sequence[str] = (),
        say: Callable[[str], None] = print,
        fresh: bool = False,
        provision: bool = True,
        ports: Mapping[str, int] | None = None,
        proxied: tuple[int, int] | None = None,
    ) -> None:
        self._settings = read_settings()
        self._folder = DataFolder(data_dir)
        self.data = self._folder.path
        self._say = say
        self._fresh = fresh
        self._provision = provision
        self._replicas = replicas_of(
            workers if isinstance(workers, Mapping) else tuple(workers), self._settings.workers
        )
        self._wished_ports = {
            **parse_numbers(self._settings.ports, "BACKOFFICE_PORTS"),
            **(ports or {}),
        }
        self._proxied = proxied
        self._choices: dict[str, Choice] = {}
        self._server_again_at: dict[str, float] = {}
        self._turn = threading.RLock()
        self._phase = "new"
        self._hindrance = ""
        self.workers: list[Worker] = []

    kafka: Broker
    postgres: Database

    @property
    def kafka_address(self) -> str:
        """The bootstrap address for clients."""
        return self.kafka.address

    @property
    def database_url(self) -> str:
        """The database's address for SQLAlchemy with asyncpg."""
        return self.postgres.url

    @property
    def environment(self) -> dict[str, str]:
        """The settings with which any process reaches this stack."""
        return {
            "BACKOFFICE_KAFKA": self.kafka_address,
            "BACKOFFICE_DATABASE_URL": self.database_url,
            "BACKOFFICE_DATA": str(self.data),
        }

    def start(self) -> None:
        """Start everything; after any failure nothing is left running."""
        self._folder.open(self._fresh, self._say)
        self._phase = "starting"
        try:
            self._start_servers()
            self._start_workers()
            self._tell("ready")
        except BaseException as error:
            self.stop(
                failed=error if isinstance(error, Exception) else None
            )  # being asked to stop is no failure
            raise

    def restart_failed(self) -> None:
        """Restart what failed since the last call.

        A problem that prevents a restart, such as a full disk or an occupied port, is reported once
        and retried at the next call; running processes are not affected.
        """
        with self._turn:
            if self._phase not in ("starting", "ready"):
                return
            try:
                self._look_around()
                self._hindrance = ""
            except (OSError, Refused, Unavailable) as error:
                if self._phase != "ready":
                    raise
                message = str(error) if isinstance(error, OSError) else error.message
                if message != self._hindrance:
                    self._hindrance = message
                    self._say(
                        f"the stack could not be looked after, which is tried again: {message}"
                    )

    def _look_around(self) -> None:
        # The list is built first: any() over a generator would stop looking at the first worker
        # that changed.
        changed = [self._restart_server(name, server) for name, server in self._servers()] + [
            worker.restart_failed() for worker in self.workers
        ]
        if any(changed):
            self._tell(self._phase)

    def stop(self, failed: BaseException | None = None) -> None:
        """Stop the workers, then the servers; nothing stays. May be called twice."""
        with self._turn:
            if self._phase in ("new", "stopped", "failed"):
                return  # "new": the folder was never ours, what runs there belongs to another
            self._tell("stopping")
            for worker in self.workers:
                worker.ask_to_stop()
            for worker in self.workers:
                worker.stop()
            with ThreadPoolExecutor(max_workers=2) as threads:
                for stopped in [threads.submit(server.stop) for _, server in self._servers()]:
                    stopped.result()
            self._folder.sweep(lambda _: None)
            self._tell("failed" if failed else "stopped", failed)
            self._folder.release()

    def _servers(self) -> list[tuple[str, Server]]:
        return [
            (name, getattr(self, name)) for name in ("postgres", "kafka") if hasattr(self, name)
        ]

    def _start_servers(self) -> None:
        ports = Ports(self.data, self._say, self._wished_ports)
        self.postgres, self._choices["postgres"] = choose_database(
            self._settings, self.data, ports, self._say
        )
        self.kafka, self._choices["kafka"] = choose_broker(
            self._settings, self.data, ports, self._say, self._proxied
        )
        self._ports = ports
        self._tell("starting")
        for label, name in (("PostgreSQL", "postgres"), ("Kafka", "kafka")):
            self._say(f"{label}: {self._choices[name].kind} ({self._choices[name].why})")
        began = time.monotonic()
        self.kafka.launch()  # the slow one boots while the database starts and migrates
        self.postgres.start()
        self._say(
            f"PostgreSQL works ({time.monotonic() - began:.1f} s):"
            f" {self.postgres.dsn.rpartition('@')[2]}"
        )
        if self._provision:
            self._step(
                "migrate",
                "shared.migrations",
                "upgrade",
                python_environment(database_url=self.postgres.owner_url),
            )
        self.kafka.start()
        self._say(f"Kafka works ({time.monotonic() - began:.1f} s): {self.kafka_address}")
        if self._provision:
            self._step(
                "topics",
                "shared.broker.topics",
                "",
                python_environment("topic_prefix", "partitions", kafka=self.kafka_address),
            )
        self._tell("starting")

    def _step(self, name: str, module: str, argument: str, environment: Mapping[str, str]) -> None:
        began = time.monotonic()
        launch = Launch(
            name=name,
            command=tuple(filter(None, (sys.executable, "-m", module, argument))),
            log=self.data / "logs" / f"{name}.log",
            environment=environment,
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGKILL,
        )
        code = run_child(self.data, launch, STEP_TIMEOUT_SECONDS)
        if code != 0:
            raise Unavailable(
                f"The step {name} (python -m {module} {argument}) ended with exit {code}. It said"
                f" ({launch.log}):\n{tail(launch.log)}"
            )
        self._say(f"{name}: done ({time.monotonic() - began:.1f} s)")

    def _start_workers(self) -> None:
        for service, count in self._replicas.items():
            for replica in range(1, count + 1):
                worker = Worker(
                    self.data, service, replica, self._ports, self.environment, self._say
                )
                self.workers.append(worker)
                worker.start()
        self._tell("starting")
        if self.workers:
            began = time.monotonic()
            wait_until_ready(self.workers, self.restart_failed)
            self._say(
                f"workers ready ({time.monotonic() - began:.1f} s):"
                f" {', '.join(worker.name for worker in self.workers)}"
            )

    def _restart_server(self, name: str, server: Server) -> bool:
        if (
            server.alive
            or not server.wanted
            or time.monotonic() < self._server_again_at.get(name, 0.0)
        ):
            return False
        self._say(f"{name} ended by itself; it is started again on the same data")
        try:
            server.start()
        except (Refused, Unavailable) as error:
            server.wanted = True  # a failed start gives up; the stack does not
            self._server_again_at[name] = time.monotonic() + LONGEST_PAUSE_SECONDS
            self._say(error.message)
        else:
            self._server_again_at[name] = time.monotonic() + SERVER_PAUSE_SECONDS
            self._say(f"{name} works again")
        return True

    def _tell(self, phase: str, failed: BaseException | None = None) -> None:
        self._phase = phase
        write_json(self.data / STATE, self.state(failed))

    def state(self, failed: BaseException | None = None) -> dict[str, Any]:
        """Return what `status` and `down` read: which process runs where."""
        own = psutil.Process()
        servers = {
            name: {
                "kind": choice.kind,
                "why": choice.why,
                "pid": getattr(self, name).pid,
                "log": str(self.data / "logs" / f"{name}.log"),
            }
            for name, choice in self._choices.items()
            if hasattr(self, name)
        }
        state: dict[str, Any] = {
            "phase": self._phase,
            "data": str(self.data),
            "supervisor": {"pid": own.pid, "started": own.create_time(), "command": own.cmdline()},
            "kafka": self.kafka.address if hasattr(self, "kafka") else "",
            "database_url": self.postgres.url if hasattr(self, "postgres") else "",
            "servers": servers,
            "workers": [
                {
                    "name": worker.name,
                    "service": worker.service,
                    "replica": worker.replica,
                    "pid": worker.pid,
                    "port": worker.port,
                    "restarts": worker.restarts,
                    "log": str(worker.log),
                }
                for worker in self.workers
            ],
        }
        if failed is not None:
            state["failure"] = {
                "code": getattr(failed, "code", "unavailable"),
                "message": getattr(failed, "message", str(failed) or repr(failed)),
            }
        return state


@contextmanager
def running_stack(
    data_dir: Path,
    workers: Mapping[str, int] | Sequence[str] = (),
    *,
    say: Callable[[str], None] = print,
    fresh: bool = False,
    provision: bool = True,
    proxied: tuple[int, int] | None = None,
) -> Iterator[Stack]:
    """Run a stack while the block runs; restart what fails, as `up` does."""
    stack = Stack(
        data_dir, workers=workers, say=say, fresh=fresh, provision=provision, proxied=proxied
    )
    over = threading.Event()

    def look_around() -> None:
        while not over.wait(RESTART_CHECK_SECONDS):
            stack.restart_failed()

    stack.start()
    looking = threading.Thread(target=look_around, name="stack-tending", daemon=True)
    looking.start()
    try:
        yield stack
    finally:
        over.set()
        stack.stop()
        looking.join()
