"""How the stack starts, records, recognises and ends processes.

Every child has a record (`run/NAME.json`: pid, start time, command line) in the data folder before
anything waits for it, so that the next command can clean up after a killed one. A pid alone proves
nothing, because another process may have it by now: a process is ours only if pid, start time and
command line match, and only then is it signalled.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import psutil

from shared.settings import PREFIX, PRIVATE_UMASK
from shared.stack.parent_watch import SAME_USER

PARENT_WATCH = Path(__file__).with_name("parent_watch.py")
START_TIME_TOLERANCE_SECONDS = 2.0
LOG_KEPT_BYTES = 10_000_000
TAIL_LINES = 15
LINE_SHOWN = 400  # a traceback in a JSON log is one line
KILL_PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.02

SYSTEM_VARIABLES = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
)
PYTHON_VARIABLES = ("PYTHON", "VIRTUAL_ENV", "SSL_CERT_", "OTEL_", "COVERAGE_")

# The kernel ties a child to the *thread* that started it. A thread of a test or of an event loop
# ends early and would take Kafka with it, so one thread that lives as long as the process starts
# them all.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stack-starter")


@dataclass(frozen=True)
class Record:
    """What identifies a started process later."""

    name: str
    pid: int
    started: float
    command: tuple[str, ...]
    stop_signal: int

    def process(self) -> psutil.Process | None:
        """The living process of this record, or None (a zombie counts as ended)."""
        try:
            process = psutil.Process(self.pid)
            if (
                process.status() == psutil.STATUS_ZOMBIE
                or abs(process.create_time() - self.started) > START_TIME_TOLERANCE_SECONDS
            ):
                return None
            # Between start and exec the command line is the tether's, which ends with ours.
            shown = process.cmdline()
        except psutil.Error:
            return None
        return process if _ends_with(shown, self.command) else None

    def save(self, folder: Path) -> None:
        """Write the record atomically."""
        write_json(record_path(folder, self.name), asdict(self))


def _ends_with(shown: Sequence[str], command: Sequence[str]) -> bool:
    # A forked worker's line is shorter than the forker's, and filled up with empty parts.
    parts = [part for part in command if part]
    return [part for part in shown if part][-len(parts) :] == parts


def system_environment() -> dict[str, str]:
    """Return the variables that any program needs. No setting or secret of ours is among them."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in SYSTEM_VARIABLES or name.startswith("LC_")
    }


def python_environment(*settings_kept: str, **settings_given: str) -> dict[str, str]:
    """Return the variables of a Python process of ours: these settings, by name, and no others.

    `settings_kept` are taken from our own environment, `settings_given` have values.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith(PYTHON_VARIABLES)}
    ours = {
        variable: os.environ[variable]
        for name in settings_kept
        if (variable := f"{PREFIX}{name.upper()}") in os.environ
    }
    given = {f"{PREFIX}{name.upper()}": value for name, value in settings_given.items()}
    return {**system_environment(), **kept, **ours, **given}


def record_path(folder: Path, name: str) -> Path:
    """Return the path of a process's record in the data folder."""
    return folder / "run" / f"{name}.json"


def write_json(path: Path, body: object) -> None:
    """Replace a small JSON file atomically: a reader sees the old or the new content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.write_text(json.dumps(body, indent=2) + "\n")
    draft.replace(path)


def read_record(path: Path) -> Record | None:
    """Read a record, or return None if there is no readable one."""
    try:
        body = json.loads(path.read_text())
        return Record(
            body["name"],
            int(body["pid"]),
            float(body["started"]),
            tuple(body["command"]),
            int(body["stop_signal"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Launch:
    """How to start a child process."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str]
    stop_signal: signal.Signals
    death_signal: signal.Signals
    user: str = SAME_USER
    folder: Path | None = None


class Process(Protocol):
    """What `subprocess.Popen` and `ForkedProcess` have in common."""

    @property
    def pid(self) -> int:
        """The process id, also after the end."""

    def poll(self) -> int | None:
        """Return None while it runs; a negative number is the signal that ended it."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises `subprocess.TimeoutExpired`."""

    def send_signal(self, number: int, /) -> None:
        """Send a signal, unless it has ended."""

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""


class Child:
    """A process that this process started."""

    def __init__(self, launch: Launch, process: Process, record: Record, data: Path) -> None:
        self.launch = launch
        self.record = record
        self._process = process
        self._data = data
        self._asked = False

    @property
    def pid(self) -> int:
        """The process id, also after the process has ended."""
        return self.record.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative if a signal ended it."""
        return self._process.poll()

    def wait(self, timeout_seconds: float) -> int:
        """Wait for the end; kill the child when time is up."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def ask(self) -> None:
        """Send the stop signal once, without waiting; a second one may be harsher."""
        if self.exit_code() is None and not self._asked:
            self._asked = True
            self._process.send_signal(self.launch.stop_signal)

    def kill(self) -> None:
        """Kill -9 the child with its descendants, and delete its record."""
        with suppress(psutil.Error):
            below = (
                psutil.Process(self.pid).children(recursive=True)
                if self.exit_code() is None
                else []
            )
            self._process.kill()
            for child in below:
                with suppress(psutil.Error):
                    child.kill()
            wait_ended(below, KILL_PATIENCE_SECONDS)
        self._process.wait()
        record_path(self._data, self.record.name).unlink(missing_ok=True)

    def end(self, patience_seconds: float) -> None:
        """Ask to stop, wait, and kill what does not stop."""
        if self.exit_code() is None:
            self.ask()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_seconds)
        self.kill()


def start_child(data: Path, launch: Launch, files_passed: Sequence[int] = ()) -> Child:
    """Start a process in a session of its own, tied to this process, with a record.

    It inherits the file descriptors `files_passed`.
    """
    return _STARTER.submit(_start, data, launch, files_passed).result()


def _start(data: Path, launch: Launch, files_passed: Sequence[int]) -> Child:
    prepare_log(launch.log)
    with launch.log.open("ab") as log:
        popen = subprocess.Popen(
            tied_to_parent(launch),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(launch.environment),
            cwd=launch.folder,
            umask=PRIVATE_UMASK,
            # Ctrl-C in the terminal reaches the one who may stop the rest in order, not everybody
            # at once
            start_new_session=True,
            pass_fds=files_passed,
        )
    return recorded(data, launch, popen)


def prepare_log(log: Path) -> None:
    """Make the folder of a log, and put one aside that has become large."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".1.log"))


def recorded(data: Path, launch: Launch, process: Process) -> Child:
    """Store the record of a process that was just started."""
    try:
        started = psutil.Process(process.pid).create_time()
    except psutil.NoSuchProcess:
        started = time.time()  # it has ended already, and is reaped
    record = Record(
        launch.name,
        process.pid,
        started,
        launch.command,
        int(launch.stop_signal),
    )
    try:
        record.save(data)
    except OSError:  # a full disk: no later command would know of this process
        process.kill()
        process.wait()
        raise
    return Child(launch, process, record, data)


def tied_to_parent(launch: Launch) -> list[str]:
    """Return the command line that runs a command as its user and tied to this process."""
    return [
        sys.executable,
        "-I",
        "-S",
        str(PARENT_WATCH),
        str(os.getpid()),
        str(int(launch.death_signal)),
        launch.user,
        *launch.command,
    ]


def run_child(data: Path, launch: Launch, timeout_seconds: float) -> int:
    """Run a command to its end and return its exit code.

    Its log holds this run only. When time is up it is killed and counts as failed.
    """
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    launch.log.write_bytes(b"")
    child = start_child(data, launch)
    try:
        return child.wait(timeout_seconds)
    finally:
        child.end(patience_seconds=0)


def end_recorded_process(path: Path, patience_seconds: float) -> Record | None:
    """End the process of an earlier command's record if it still runs; delete the record.

    Returns the record if a process was ended.
    """
    record = read_record(path)
    process = record.process() if record else None
    if record is None or process is None:
        path.unlink(missing_ok=True)
        return None
    with suppress(psutil.Error):
        below = process.children(recursive=True)
        process.send_signal(record.stop_signal)
        wait_ended([process], patience_seconds)
        for left in (process, *below):
            with suppress(psutil.Error):
                left.kill()
        wait_ended([process, *below], KILL_PATIENCE_SECONDS)
    path.unlink(missing_ok=True)
    return record


def has_ended(process: psutil.Process) -> bool:
    """Whether the process has ended; a zombie counts as ended, since nothing may reap it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def wait_ended(processes: Sequence[psutil.Process], timeout_seconds: float) -> None:
    """Wait until all processes have ended, or time is up."""
    deadline = time.monotonic() + timeout_seconds
    while not all(has_ended(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, for a message about a failed start."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 20_000))
            text = stream.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(line[:LINE_SHOWN] for line in text.splitlines()[-lines:])


def never_raising(say: Callable[[str], None]) -> Callable[[str], None]:
    """Wrap a function that prints: a full disk or a closed terminal must not end the stack."""

    def safely(message: str) -> None:
        with suppress(OSError, ValueError):
            say(message)

    return safely
