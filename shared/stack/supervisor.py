"""The commands about a whole stack: up (foreground or detached), down, status.

They know the stack from its state file.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from shared.errors import Refused, Unavailable
from shared.logins import CONSOLE, LOGIN
from shared.stack.folder import MARKER, STATE, DataFolder
from shared.stack.process import Record, never_raising, read_record, wait_ended
from shared.stack.stack import TEND_SECONDS, Stack
from shared.stack.workers import WITH_CONSOLE, readiness

DOWN_TIMEOUT_SECONDS = 90.0
DETACH_TIMEOUT_SECONDS = 600.0
POLL_SECONDS = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG = "supervisor.log"
OVER = ("never started", "stopped", "failed")

Say = Callable[[str], None]


class _StopRequested(BaseException):
    """A stop was requested. Not an Exception: nothing may handle it as a failure and go on."""


def up(
    data_dir: Path = Path(".backoffice"),
    *,
    fresh: bool = False,
    detach: bool = False,
    workers: Mapping[str, int] | Sequence[str] = WITH_CONSOLE,
    say: Say = print,
    provision: bool = True,
    to_stop: str = "Ctrl-C stops it",
) -> dict[str, Any]:
    """Start a stack and return its status.

    In the foreground it runs until Ctrl-C or SIGTERM and then stops everything; detached it returns
    when the stack is ready. `to_stop`: how to stop it, for the message that it is up.
    """
    if detach:
        return _up_detached(data_dir, fresh=fresh, workers=workers, say=say, provision=provision)
    say = never_raising(say)
    stack = Stack(data_dir, workers=workers, say=say, fresh=fresh, provision=provision)
    with _stop_on_signal() as listening:
        try:
            stack.start()
            say(f"the stack is up; {to_stop}")
            notify_systemd("READY=1")
            while True:
                time.sleep(TEND_SECONDS)
                stack.tend()
                notify_systemd("WATCHDOG=1")
        except _StopRequested:
            say("stopping")
        finally:
            listening.clear()
            notify_systemd("STOPPING=1")
            stack.stop()
    say("everything that was started is stopped")
    return status(data_dir)


def down(data_dir: Path = Path(".backoffice"), *, say: Say = print) -> dict[str, Any]:
    """Stop the stack of a data folder, and what an earlier one left running."""
    folder = DataFolder(data_dir)
    if not (folder.path / MARKER).exists():
        say(f"no stack was ever started on {folder.path}")
        return status(data_dir)
    supervisor = _supervisor(_read_state(folder.path))
    if supervisor is not None:
        say(f"stopping the stack on {folder.path} (pid {supervisor.pid})")
        with suppress(psutil.Error):
            supervisor.terminate()
        wait_ended([supervisor], DOWN_TIMEOUT_SECONDS)
        with suppress(psutil.Error):
            supervisor.kill()
            wait_ended([supervisor], DOWN_TIMEOUT_SECONDS)
    folder.hold()
    try:
        if not folder.sweep(say) and supervisor is None:
            say(f"nothing runs on {folder.path}")
    finally:
        folder.release()
    return status(data_dir)


def status(data_dir: Path = Path(".backoffice")) -> dict[str, Any]:
    """Return what runs on a data folder now; each process is checked."""
    path = DataFolder(data_dir).path
    state = _read_state(path)
    supervisor = _supervisor(state)
    alive = {record.name for record in _records(path) if record.process() is not None}
    phase = state.get("phase", "never started")
    answer: dict[str, Any] = {
        "data": str(path),
        "running": supervisor is not None and phase == "ready",
        "phase": phase if supervisor is not None or phase in OVER else "killed",
        "supervisor_pid": supervisor.pid if supervisor is not None else None,
        "kafka": state.get("kafka", ""),
        "kafka_clients": state.get("kafka_clients", {}),
        "database_url": state.get("database_url", "").replace(LOGIN, CONSOLE),
        "commands": state.get("commands", ""),
        "servers": {
            name: _server_now(name, server, alive, supervisor is not None)
            for name, server in state.get("servers", {}).items()
        },
        "workers": [_worker_now(worker, alive) for worker in state.get("workers", [])],
        "left_behind": sorted(alive) if supervisor is None else [],
    }
    if "failure" in state:
        answer["failure"] = state["failure"]
    return answer


def _server_now(
    name: str, server: Mapping[str, Any], alive: set[str], supervised: bool
) -> dict[str, Any]:
    # A server that we did not start has no process here; it is there as long as the stack that uses
    # it.
    return {**server, "alive": name in alive if server["kind"] == "embedded" else supervised}


def _worker_now(worker: Mapping[str, Any], alive: set[str]) -> dict[str, Any]:
    runs = worker["name"] in alive
    ready, text = readiness(int(worker["port"])) if runs else (False, "")
    # The supervisor knows why it restarted the worker; the worker knows why it is not ready.
    reasons = (worker["reason"], "" if ready else text)
    return {
        **worker,
        "alive": runs,
        "ready": ready,
        "reason": "; ".join(filter(None, reasons)),
    }


def _records(path: Path) -> list[Record]:
    return [
        record for file in sorted((path / "run").glob("*.json")) if (record := read_record(file))
    ]


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads((path / STATE).read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _supervisor(state: Mapping[str, Any]) -> psutil.Process | None:
    """The living process that runs a stack, or None."""
    known = state.get("supervisor")
    if known is None or state.get("phase") in OVER:
        return None
    return Record(
        "supervisor",
        int(known["pid"]),
        float(known["started"]),
        tuple(known["command"]),
        int(signal.SIGTERM),
    ).process()


def _up_detached(
    data_dir: Path,
    *,
    fresh: bool,
    workers: Mapping[str, int] | Sequence[str],
    say: Say,
    provision: bool,
) -> dict[str, Any]:
    path = DataFolder(data_dir).path
    if _supervisor(_read_state(path)) is not None:
        if fresh:
            raise Refused(
                "stack-in-use",
                f"A stack runs on {path}, so it cannot be emptied.",
                "Stop it first (backoffice down).",
            )
        say(f"a stack already runs on {path}")
        return status(data_dir)
    log = (
        path.parent / f"{path.name}.{os.getpid()}.{LOG}"
    )  # beside the folder: what starts there may have to empty it
    numbers = workers if isinstance(workers, Mapping) else dict.fromkeys(workers, 1)
    command = [
        sys.executable,
        "-m",
        "shared.stack",
        str(path),
        "--workers",
        ",".join(f"{name}={count}" for name, count in numbers.items()),
    ]
    command += ["--fresh"] * fresh + ["--no-provision"] * (not provision)
    path.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _follow(process, log, path, say)
    finally:
        with suppress(OSError):
            log.replace(path / "logs" / LOG)  # it stays open there and goes on
    return status(data_dir)


def _follow(process: "subprocess.Popen[bytes]", log: Path, path: Path, say: Say) -> None:
    """Print what the supervisor reports until it is ready; fail if it failed."""
    deadline = time.monotonic() + DETACH_TIMEOUT_SECONDS
    with log.open(errors="replace") as lines:
        while True:
            state = _read_state(path)
            ours = state.get("supervisor", {}).get("pid") == process.pid
            ended = process.poll() is not None
            for line in lines:
                say(line.rstrip("\n"))
            if ours and state.get("phase") == "ready":
                return
            if ended:
                failure = state.get("failure", {}) if ours else {}
                raise Refused(
                    failure.get("code", "stack-not-up"),
                    failure.get(
                        "message", f"The stack on {path} did not come up; see the lines above."
                    ),
                )
            if time.monotonic() > deadline:
                process.terminate()
                raise Unavailable(
                    f"The stack on {path} was not ready within {DETACH_TIMEOUT_SECONDS:.0f} s and"
                    " was asked to stop."
                )
            time.sleep(POLL_SECONDS)


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """While the event is set, a signal raises `_StopRequested` once; later signals are ignored.

    Every step of stopping has its own time limit.
    """
    listening = threading.Event()
    listening.set()

    def asked(number: int, frame: FrameType | None) -> None:
        if listening.is_set():
            listening.clear()
            raise _StopRequested

    before = {number: signal.signal(number, asked) for number in SIGNALS}
    try:
        yield listening
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def notify_systemd(state: str) -> None:
    """Tell systemd that the stack is ready or lives, if systemd started this process (sd_notify).

    Without the repeated message systemd kills and restarts a supervisor that hangs.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
            notice.sendto(state.encode(), address.replace("@", "\0", 1))
