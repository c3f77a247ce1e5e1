"""One running stack: start order, restarts while it runs, and stopping all of it.

It belongs to the process that made it: its children end when that process dies.
Where the machine does not support that, the next command on the data folder ends them.
"""

import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from shared.broker.acls import ADMIN, CONSOLE
from shared.broker.security import KafkaAccess
from shared.errors import Unavailable
from shared.logins import shown
from shared.settings import OPEN, SIGNED, SIGNING_KEY_FILE, read_settings
from shared.stack.choice import (
    OPEN_NOTICE,
    Broker,
    Choice,
    Database,
    Server,
    choose_broker,
    choose_database,
    commands_mode,
)
from shared.stack.folder import STATE, DataFolder
from shared.stack.forking import SUPPORTED, Forker
from shared.stack.kafka import KafkaServer
from shared.stack.kafka_logins import client_files
from shared.stack.ports import HOST, Ports
from shared.stack.postgres import PostgresServer
from shared.stack.process import (
    Launch,
    never_raising,
    python_environment,
    run_child,
    tail,
    write_json,
)
from shared.stack.provisions import Provisions
from shared.stack.tending import Part, ServerPart
from shared.stack.workers import (
    WEB_CONSOLE,
    Worker,
    module_of,
    parse_numbers,
    replicas_of,
    wait_until_ready,
)

WORKER_STATE = ("name", "service", "replica", "pid", "port", "restarts", "reason")
STEP_TIMEOUT_SECONDS = 300.0
TEND_SECONDS = 0.3
MOST_TENDED_AT_ONCE = 32


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
        self._say = never_raising(say)
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
        self._server_parts: dict[str, ServerPart] = {}
        self._turn = threading.RLock()
        self._tenders = ThreadPoolExecutor(MOST_TENDED_AT_ONCE, thread_name_prefix="tending")
        self._phase = "new"
        self._untold = ""
        self.workers: list[Worker] = []
        modules = [module_of(service) for service, count in self._replicas.items() if count]
        self._forker = Forker(self.data, modules) if SUPPORTED and len(modules) > 1 else None

    kafka: Broker
    postgres: Database

    @property
    def kafka_address(self) -> str:
        """The bootstrap address for clients."""
        return self.kafka.address

    @property
    def kafka_access(self) -> KafkaAccess:
        """How the console reaches Kafka."""
        return self.kafka.access(CONSOLE)

    @property
    def database_url(self) -> str:
        """The database's address for SQLAlchemy with asyncpg, `{login}` in place of a login."""
        return self.postgres.url

    @property
    def environment(self) -> dict[str, str]:
        """The settings with which the console, or a program like it, reaches this stack."""
        return {
            **self.kafka_access.environment(),
            "BACKOFFICE_DATABASE_URL": self.database_url,
            "BACKOFFICE_DATA": str(self.data),
            "BACKOFFICE_COMMANDS": self.commands,
        }

    @property
    def commands(self) -> str:
        """Whether commands need a signature here: `signed` or `open`."""
        return commands_mode(self._settings.commands, self._choices["kafka"])

    def start(self) -> None:
        """Start everything; after any failure nothing is left running."""
        self._folder.open(self._fresh, self._say)
        self._phase = "starting"
        try:
            self._launch_servers()
            self._start_servers(Provisions(self.data))
            self._wait_for_workers()
            self._tell("ready")
        except BaseException as error:
            self.stop(
                failed=error if isinstance(error, Exception) else None
            )  # being asked to stop is no failure
            raise

    def tend(self) -> None:
        """Restart what ended or does not answer, each part in a thread of its own.

        Returns at once. What prevents a restart, such as a full disk, is reported and tried again;
        other parts are not affected.
        """
        with self._turn:
            if self._phase not in ("starting", "ready"):
                return
            for part in (*self._server_parts.values(), *self.workers):
                if part.due():
                    self._tenders.submit(self._tend, part)
            if self._untold:
                self._record_change()

    def _tend(self, part: Part) -> None:
        if part.tend():
            with self._turn:
                if self._phase in ("starting", "ready"):
                    self._record_change()

    def _record_change(self) -> None:
        try:
            self._tell(self._phase)
            self._untold = ""
        except OSError as error:
            if str(error) != self._untold:
                self._untold = str(error)
                self._say(f"the state could not be stored, which is tried again: {error}")

    def stop(self, failed: BaseException | None = None) -> None:
        """Stop the workers, then the servers; nothing stays. May be called twice."""
        with self._turn:
            if self._phase in ("new", "stopped", "failed"):
                return  # "new": the folder was never ours, what runs there belongs to another
            self._tell_if_possible("stopping")
            for part in self._server_parts.values():
                part.retire()
            for worker in self.workers:
                worker.ask_to_stop()
            for worker in self.workers:
                worker.stop()
            if self._forker is not None:
                self._forker.stop()
            with ThreadPoolExecutor(max_workers=2) as threads:
                for stopped in [threads.submit(server.stop) for _, server in self._servers()]:
                    stopped.result()
            self._folder.sweep(lambda _: None)
            # A tender may wait for this lock: it finds the phase changed and does nothing.
            self._tenders.shutdown(wait=False, cancel_futures=True)
            self._tell_if_possible("failed" if failed else "stopped", failed)
            self._folder.release()

    def _servers(self) -> list[tuple[str, Server]]:
        return [
            (name, getattr(self, name)) for name in ("postgres", "kafka") if hasattr(self, name)
        ]

    def _launch_servers(self) -> None:
        ports = Ports(self.data, self._say, self._wished_ports)
        self.postgres, self._choices["postgres"] = choose_database(
            self._settings, self.data, ports, self._say
        )
        self.kafka, self._choices["kafka"] = choose_broker(
            self._settings, self.data, ports, self._say, self._proxied
        )
        self._ports = ports
        self._tell("starting")
        if self.commands == OPEN:
            self._say(OPEN_NOTICE)
        for label, name in (("PostgreSQL", "postgres"), ("Kafka", "kafka")):
            self._say(f"{label}: {self._choices[name].kind} ({self._choices[name].why})")
        if self._forker is not None:
            self._forker.launch()
        self.kafka.launch()  # the slow one boots while the database starts and migrates
        self.postgres.launch()

    def _start_servers(self, known: Provisions) -> None:
        began = time.monotonic()
        needed = self._provision and not known.are_current
        self.postgres.start()
        self._say(
            f"PostgreSQL works ({time.monotonic() - began:.1f} s): {shown(self.postgres.url)}"
        )
        if needed:
            self._step(
                "migrate",
                "shared.migrations",
                python_environment(database_url=self.postgres.owner_url),
                "upgrade",
            )
        self._add_admin()
        if not needed:
            self._launch_workers()  # they wait for Kafka
        self.kafka.start()
        self._say(f"Kafka works ({time.monotonic() - began:.1f} s): {self.kafka_address}")
        if needed:
            self._step(
                "topics",
                "shared.broker.topics",
                python_environment("topic_prefix", "partitions")
                | dict(self.kafka.access(ADMIN).environment()),
                "--acl" if self.kafka.has_our_users else "",
            )
            known.store()
            self._launch_workers()
        self._tend_servers()
        self._tell("starting")

    def _tend_servers(self) -> None:
        for name, server in self._servers():
            if isinstance(server, KafkaServer | PostgresServer):
                log = self.data / "logs" / f"{name}.log"
                part = ServerPart(name, server, log, self._say, self._settings.live_limit_seconds)
                part.began(answered=True)
                self._server_parts[name] = part

    def _add_admin(self) -> None:
        """Give a database of this stack, where commands are signed, a first admin: the CLI here."""
        file = self.data / SIGNING_KEY_FILE
        owned = self._provision and self._choices["postgres"].kind != "address"
        if owned and self.commands == SIGNED and not file.exists():
            environment = python_environment(database_url=self.postgres.owner_url)
            name = f"local-admin-{secrets.token_hex(3)}"  # a lost file does not stop the next one
            self._step("admin", "shared.migrations", environment, "admin", name, str(file))

    def _step(self, name: str, module: str, environment: Mapping[str, str], *more: str) -> None:
        began = time.monotonic()
        launch = Launch(
            name=name,
            command=tuple(filter(None, (sys.executable, "-m", module, *more))),
            log=self.data / "logs" / f"{name}.log",
            environment=environment,
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGKILL,
        )
        code = run_child(self.data, launch, STEP_TIMEOUT_SECONDS)
        if code != 0:
            raise Unavailable(
                f"The step {name} ({' '.join(launch.command[1:])}) ended with exit {code}. It said"
                f" ({launch.log}):\n{tail(launch.log)}"
            )
        self._say(f"{name}: done ({time.monotonic() - began:.1f} s)")

    def _launch_workers(self) -> None:
        for service, count in self._replicas.items():
            for replica in range(1, count + 1):
                worker = Worker(
                    self.data,
                    service,
                    replica,
                    self._ports,
                    {**self.environment, **self.kafka.access(service).environment()},
                    self._say,
                    self._forker,
                    self._settings.live_limit_seconds,
                )
                self.workers.append(worker)
                worker.start()
        self._tell("starting")

    def _wait_for_workers(self) -> None:
        if self.workers:
            began = time.monotonic()
            wait_until_ready(self.workers, self.tend)
            self._say(
                f"workers ready ({time.monotonic() - began:.1f} s):"
                f" {', '.join(worker.name for worker in self.workers)}"
            )
        for worker in self.workers:
            if worker.service == WEB_CONSOLE:
                self._say(
                    f"web console: http://{HOST}:{worker.port}; to sign in: backoffice console link"
                )

    def _tell(self, phase: str, failed: BaseException | None = None) -> None:
        with self._turn:
            self._phase = phase
            write_json(self.data / STATE, self.state(failed))

    def _tell_if_possible(self, phase: str, failed: BaseException | None = None) -> None:
        """A full disk must not keep the rest of the stop from happening."""
        try:
            self._tell(phase, failed)
        except OSError as error:
            self._say(f"the state could not be stored: {error}")

    def state(self, failed: BaseException | None = None) -> dict[str, Any]:
        """Return what `status` and `down` read: which process runs where."""
        own = psutil.Process()
        servers = {
            name: {
                "kind": choice.kind,
                "why": choice.why,
                "pid": getattr(self, name).pid,
                "log": str(self.data / "logs" / f"{name}.log"),
                "restarts": self._server_parts[name].restarts if name in self._server_parts else 0,
                "reason": self._server_parts[name].reason if name in self._server_parts else "",
            }
            for name, choice in self._choices.items()
            if hasattr(self, name)
        }
        state: dict[str, Any] = {
            "phase": self._phase,
            "data": str(self.data),
            "supervisor": {"pid": own.pid, "started": own.create_time(), "command": own.cmdline()},
            "kafka": self.kafka.address if hasattr(self, "kafka") else "",
            **self._kafka_clients(),
            "database_url": self.postgres.url if hasattr(self, "postgres") else "",
            "commands": self.commands if "kafka" in self._choices else "",
            "servers": servers,
            "workers": [
                {name: getattr(worker, name) for name in WORKER_STATE} | {"log": str(worker.log)}
                for worker in self.workers
            ],
        }
        if failed is not None:
            state["failure"] = {
                "code": getattr(failed, "code", "unavailable"),
                "message": getattr(failed, "message", str(failed) or repr(failed)),
            }
        return state

    def _kafka_clients(self) -> dict[str, Any]:
        """What the console and own clients need; a broker elsewhere has its users elsewhere."""
        if not hasattr(self, "kafka") or not self.kafka.has_our_users:
            return {}
        return {
            "kafka_console": self.kafka_access.environment() if self.kafka.address else {},
            "kafka_clients": client_files(self.data),
        }
