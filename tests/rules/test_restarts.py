"""When a part of the stack is started again, and that its end is noticed whatever ended it."""

import os
import signal
import socket
import sys
import threading
import tomllib
from configparser import ConfigParser
from pathlib import Path

import psutil
import pytest

from shared.stack import tending
from shared.stack.process import Launch, Record, never_raising, start_child
from shared.stack.restarts import (
    BUDGET,
    BUDGET_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    OVER_BUDGET_PAUSE_SECONDS,
    STEADY_SECONDS,
    RestartSchedule,
)
from shared.stack.supervisor import DOWN_TIMEOUT_SECONDS, notify_systemd
from shared.stack.tending import Part

LIMIT_SECONDS = 12.0
ROOT = Path(__file__).parents[2]


class Clock:
    """A clock that the test moves, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The time of now."""
        return self.now

    def time(self) -> float:
        """The time of day."""
        return self.now

    def gmtime(self, seconds: float) -> float:
        """Not split into parts."""
        return seconds

    def strftime(self, form: str, moment: float) -> str:
        """The seconds themselves."""
        return f"{moment:.1f}"


class FakeProcess(Part):
    """A part whose process the test ends, silences and starts."""

    def __init__(self, said: list[str]) -> None:
        super().__init__("part", Path("part.log"), said.append, LIMIT_SECONDS)
        self.code: int | None = None
        self.silent = False
        self.problem: Exception | None = None
        self.starts = 0

    def start(self) -> None:
        """Start, unless the test prevents it."""
        if self.problem:
            raise self.problem
        self.starts += 1
        self.code, self.silent = None, False
        self.began()

    def kill(self) -> None:
        """End it."""
        self.code = -9

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.code

    def answers(self) -> bool:
        """Whether it answers."""
        return self.code is None and not self.silent


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the parts."""
    clock = Clock()
    monkeypatch.setattr(tending, "time", clock)
    return clock


def pass_seconds(part: FakeProcess, clock: Clock, seconds: float) -> None:
    """Tend the part for so long, four times a second."""
    for _ in range(int(seconds * 4)):
        clock.now += 0.25
        if part.due():
            part.tend()


@pytest.mark.parametrize(
    ("code", "how"),
    [
        (0, "ended with exit 0"),
        (3, "ended with exit 3"),
        (143, "ended with exit 143"),
        (-15, "was killed by signal 15"),
        (-9, "was killed by signal 9"),
    ],
)
def test_whatever_was_not_asked_to_stop_is_started_again(clock: Clock, code: int, how: str) -> None:
    """Also after exit 0 or SIGTERM from outside: nothing "stays down". The reason is kept."""
    said: list[str] = []
    part = FakeProcess(said)
    part.start()
    part.code = code
    pass_seconds(part, clock, 2)
    assert (part.code, part.starts, part.restarts) == (None, 2, 1)
    assert part.reason.startswith(f"{how} at ")
    assert "next start" not in part.reason
    assert how in said[0] and "part.log" in said[0]


def test_what_does_not_answer_is_killed_and_started_again(clock: Clock) -> None:
    """Only after the stated time; an answer in between counts as life. A part that never answered
    yet has ten times as long.
    """
    part = FakeProcess([])
    part.start()
    pass_seconds(part, clock, 5)
    part.silent = True
    pass_seconds(part, clock, LIMIT_SECONDS - 3)
    assert (part.code, part.starts) == (None, 1)
    assert part.reason.startswith("does not answer since")
    part.silent = False
    pass_seconds(part, clock, 3)
    assert part.reason == ""
    part.silent = True
    pass_seconds(part, clock, LIMIT_SECONDS + 6)
    assert (part.starts, part.restarts) == (2, 1)
    assert "did not answer for 1" in part.reason and "killed" in part.reason
    silent_from_the_start = FakeProcess([])
    silent_from_the_start.start()
    silent_from_the_start.silent = True
    pass_seconds(silent_from_the_start, clock, LIMIT_SECONDS * 9)
    assert silent_from_the_start.starts == 1
    pass_seconds(silent_from_the_start, clock, LIMIT_SECONDS * 2)
    assert silent_from_the_start.starts == 2


def test_a_start_that_fails_is_tried_again(clock: Clock) -> None:
    """A full disk or a taken port is reported as often as it is tried, with growing pauses."""
    said: list[str] = []
    part = FakeProcess(said)
    part.start()
    part.code, part.problem = 1, OSError(28, "No space left on device")
    pass_seconds(part, clock, 20)
    assert "No space left on device" in part.reason and "next start" in part.reason
    assert 4 <= sum("could not be started" in each for each in said) <= 6
    part.problem = None
    pass_seconds(part, clock, LONGEST_PAUSE_SECONDS)
    assert (part.code, part.starts) == (None, 2)


def test_a_part_that_is_retired_is_left_alone(clock: Clock) -> None:
    """It was asked to stop. What another thread does with it at that moment is finished first."""
    part = FakeProcess([])
    part.start()
    entered, go = threading.Event(), threading.Event()

    def slow_start() -> None:
        entered.set()
        go.wait(5)

    part.code = 1
    pass_seconds(part, clock, 0.25)
    clock.now += 1
    part.start = slow_start  # type: ignore[method-assign]
    tender = threading.Thread(target=part.tend)
    tender.start()
    assert entered.wait(5)
    assert not part.tend(), "two threads at one part"
    threading.Timer(0.05, go.set).start()
    part.retire()
    tender.join(5)
    part.code = 0
    pass_seconds(part, clock, 60)
    assert (part.starts, part.due()) == (1, False)


def test_pauses_double_and_begin_again_after_a_steady_run() -> None:
    """0.5 s, 1 s, 2 s, ... up to 30 s."""
    schedule = RestartSchedule()
    pauses = [schedule.pause_after_end(now, ran_seconds=1) for now in range(8)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert schedule.pause_after_end(9, STEADY_SECONDS + 1) == FIRST_PAUSE_SECONDS


def test_a_spent_budget_means_long_pauses_and_comes_back() -> None:
    """A part that ends every two minutes would restart for ever with the shortest pause."""
    schedule = RestartSchedule()
    ends = [at * 120.0 for at in range(BUDGET + 1)]
    pauses = [schedule.pause_after_end(now, 2 * STEADY_SECONDS) for now in ends]
    assert pauses == [FIRST_PAUSE_SECONDS] * BUDGET + [OVER_BUDGET_PAUSE_SECONDS]
    assert schedule.budget_spent
    later = ends[-1] + BUDGET_SECONDS
    assert schedule.pause_after_end(later, 2 * STEADY_SECONDS) == FIRST_PAUSE_SECONDS
    assert not schedule.budget_spent


def test_the_unit_file_restarts_the_supervisor_whatever_ended_it() -> None:
    """The command that it runs exists, and it stops the supervisor before the supervisor's parts.

    systemd waits longer for the stop than the parts may take.
    """
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read(ROOT / "deploy" / "backoffice.service")
    service = unit["Service"]
    program, *arguments = service["ExecStart"].split()
    assert (
        Path(program).name
        in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    )
    assert arguments == ["up"], "in the foreground"
    wanted = {"Restart": "always", "Type": "notify", "KillMode": "mixed", "UMask": "0077"}
    assert {name: service[name] for name in wanted} == wanted
    assert int(service["TimeoutStopSec"]) >= DOWN_TIMEOUT_SECONDS
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without systemd nothing happens; a socket that is gone is no error."""
    notify_systemd("READY=1")
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        notify_systemd("WATCHDOG=1")
        assert systemd.recv(100) == b"WATCHDOG=1"
    notify_systemd("WATCHDOG=1")


def test_printing_never_stops_the_supervisor() -> None:
    """Its own log may lie on the full disk, or its terminal may be closed."""

    def full(message: str) -> None:
        raise OSError(28, "No space left on device")

    never_raising(full)("a message")


def test_a_process_whose_record_cannot_be_stored_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk it would run beside the one that the next attempt starts."""
    started: list[int] = []

    def full(record: Record, folder: Path) -> None:
        started.append(record.pid)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Record, "save", full)
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    launch = Launch(
        "sleeper", command, tmp_path / "log", dict(os.environ), signal.SIGTERM, signal.SIGKILL
    )
    with pytest.raises(OSError, match="No space left"):
        start_child(tmp_path, launch)
    assert len(started) == 1 and not psutil.pid_exists(started[0])
