"""The supervisor's side of `shared.stack.forker`: start a worker by a fork, and learn of its end.

The forker starts with the first worker. When it ends, the kernel ends its workers with it, and the
next start makes a new one.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.settings import PRIVATE_UMASK
from shared.stack.process import (
    POLL_SECONDS,
    Child,
    Launch,
    prepare_log,
    python_environment,
    recorded,
    start_child,
)

NAME = "forker"
SUPPORTED = sys.platform == "linux"
"""Elsewhere a child is not tied to its parent, and a fork is not safe beside system frameworks."""
PACKET_BYTES = 200_000
"""The longest request or answer."""
ANSWER_TIMEOUT_SECONDS = 90.0
"""The process imports first, on a machine that starts everything else at the same time."""


class ForkedProcess:
    """A worker that the forker forked: what `subprocess.Popen` is for a child of our own."""

    def __init__(self, pid: int, forker: "Forker") -> None:
        self.pid = pid
        self.code: int | None = None
        self._forker = forker
        self._handle = os.pidfd_open(pid)  # a pid alone may be another process's by now

    def poll(self) -> int | None:
        """Return None while it runs; a negative number is the signal that ended it."""
        if self.code is None:
            self._forker.read_ends()
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises `subprocess.TimeoutExpired`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, number: int, /) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:
        """Give the handle back."""
        with suppress(AttributeError, OSError):
            os.close(self._handle)


class Forker:
    """Starts workers by forks of one process, which has imported the modules that they import."""

    def __init__(self, data: Path, modules: Sequence[str]) -> None:
        self._data = data
        self._modules = tuple(modules)
        self._turn = threading.Lock()
        self._child: Child | None = None
        self._socket = socket.socket()
        self._running: dict[int, ForkedProcess] = {}

    def launch(self) -> None:
        """Start the process; it imports while other things start."""
        with self._turn:
            self._ensure_runs()

    def start(self, launch: Launch) -> Child:
        """Fork a worker. Raises `OSError` if that is refused, or the process has ended."""
        prepare_log(launch.log)
        request = {
            "command": launch.command,
            "log": str(launch.log),
            "environment": dict(launch.environment),
            "death_signal": int(launch.death_signal),
            "umask": PRIVATE_UMASK,
        }
        with self._turn:
            self._ensure_runs()
            answer = self._ask(json.dumps(request).encode())
            if "refused" in answer:
                raise OSError(answer["refused"])
            process = ForkedProcess(int(answer["started"]), self)
            self._running[process.pid] = process
        return recorded(self._data, launch, process)

    def _ask(self, request: bytes) -> dict[str, Any]:
        """Send a request and return its answer.

        Raises `OSError` if there is none in time: then the process is ended with its workers, so
        that no late answer is taken for that of the next request.
        """
        self._socket.settimeout(ANSWER_TIMEOUT_SECONDS)
        try:
            self._socket.send(request)
            while not {"started", "refused"} & (answer := self._receive()).keys():
                pass
        except OSError:
            if self._child is not None:
                self._child.kill()
            raise
        return answer

    def read_ends(self) -> None:
        """Take note of the workers that have ended."""
        with self._turn:
            self._socket.setblocking(False)
            with suppress(OSError):
                while True:
                    self._receive()

    def stop(self) -> None:
        """End the process. Its workers should have ended before."""
        with self._turn:
            if self._child is not None:
                self._child.kill()
                self._child = None

    def _ensure_runs(self) -> None:
        if self._child is not None and self._child.exit_code() is None:
            return
        self._all_ended()
        self._socket.close()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        launch = Launch(
            name=NAME,
            command=(
                *(sys.executable, "-m", "shared.stack.forker", str(theirs.fileno())),
                *self._modules,
            ),
            log=self._data / "logs" / f"{NAME}.log",
            environment={**python_environment(), "PYTHONUNBUFFERED": "1"},
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGKILL,
        )
        with theirs:
            self._child = start_child(self._data, launch, (theirs.fileno(),))

    def _receive(self) -> dict[str, Any]:
        """Read a packet. Raises `OSError` if there is none, or the process has ended."""
        packet = self._socket.recv(PACKET_BYTES)
        if not packet:
            self._all_ended()
            raise OSError("the process that forks the workers has ended")
        answer: dict[str, Any] = json.loads(packet)
        if "ended" in answer and (process := self._running.pop(answer["ended"], None)):
            process.code = answer["code"]
        return answer

    def _all_ended(self) -> None:
        """The kernel ends the workers with the process that forked them."""
        for process in self._running.values():
            process.code = -signal.SIGKILL
        self._running.clear()
