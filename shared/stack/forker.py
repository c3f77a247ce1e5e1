"""A process that has imported what all workers import, and forks a worker whenever it is asked.

Importing takes a worker more than a second of processor time, and six of them start at once. Run as
`python -m shared.stack.forker SOCKET_FD MODULE ...`. Requests and answers are JSON, a packet each:

- `{"command", "log", "environment", "death_signal", "umask"}` is answered by `{"started": PID}` or
  `{"refused": TEXT}`;
- `{"ended": PID, "code": CODE}` follows when the worker has ended; CODE as that of `subprocess`.

It has one thread: a fork of a process with more can hang.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.settings import settings
from shared.stack.forking import PACKET_BYTES
from shared.stack.parent_watch import PARENT_GONE, PR_SET_PDEATHSIG

ARGUMENTS_START = 45
"""Where `arg_start` is in /proc/PID/stat (proc_pid_stat(5)), counted after the name."""


def main(arguments: Sequence[str]) -> None:
    """Import the modules, then serve until the other end closes the socket."""
    requests = socket.socket(fileno=int(arguments[0]))
    for module in arguments[1:]:
        importlib.import_module(module)
        # The worker runs the module itself again, with its own settings; what the module imports
        # stays.
        del sys.modules[module]
    gc.collect()
    gc.freeze()  # the pages of what is imported stay shared with the workers
    signal.signal(signal.SIGCHLD, lambda _number, _frame: _report_ended(requests))
    own = os.getpid()
    while packet := requests.recv(PACKET_BYTES):
        request = json.loads(packet)
        try:
            child = _fork()
        except OSError as error:
            _answer(requests, {"refused": str(error)})
            continue
        if child == 0:
            requests.close()
            _run_worker(request, own)
            return
        _answer(requests, {"started": child})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _fork() -> int:
    """Fork with SIGCHLD blocked: `started` is answered before `ended`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        return os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        raise


def _answer(requests: socket.socket, body: Mapping[str, object]) -> None:
    requests.send(json.dumps(body).encode())


def _report_ended(requests: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _answer(requests, {"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _run_worker(request: Mapping[str, Any], forker: int) -> None:
    """Become the worker: what `python -m MODULE` would be."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, request["death_signal"], 0, 0, 0)
    if os.getppid() != forker:
        sys.exit(PARENT_GONE)
    os.umask(request["umask"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    os.close(log)
    os.environ.clear()
    os.environ.update(request["environment"])
    settings.cache_clear()
    _show_as(request["command"])
    module = request["command"][-1]
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _show_as(command: Sequence[str]) -> None:
    """Show this command line for the process, in place of the forker's, which is longer.

    The package setproctitle is not used, because pytest-xdist would rename processes as soon as it
    is installed, and a stack recognises its processes by their command lines.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[ARGUMENTS_START]), int(fields[ARGUMENTS_START + 1])
    shown = b"\0".join(os.fsencode(part) for part in command)
    if start and len(shown) < end - start:
        ctypes.memmove(start, shown.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    main(sys.argv[1:])
