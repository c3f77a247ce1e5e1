"""Keep one part of the stack running: notice its end or its silence, and start it again.

A part is a worker or a server. Whatever was not asked to stop is started again, whichever signal or
exit code ended it. A part that runs and does not answer for `live_limit_seconds` is killed first.
Each part is tended by itself: a slow start of one delays no other.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from shared.stack.kafka import KafkaServer
from shared.stack.postgres import PostgresServer
from shared.stack.restarts import BUDGET, RestartSchedule

QUESTIONS_PER_LIMIT = 6
"""So often is a part asked within the time after which it is killed."""
RETIRE_POLL_SECONDS = 0.1
FIRST_ANSWER_LIMITS = 10
"""A part that did not answer yet has so many times as long: it connects and recovers first."""


class Part:
    """What is common to workers and servers: how they are tended."""

    def __init__(
        self, name: str, log: Path, say: Callable[[str], None], live_limit_seconds: float
    ) -> None:
        self.name = name
        self.log = log
        self.restarts = 0
        self.reason = ""
        """Why it was restarted, waits for a restart, or does not answer; empty if all is well."""
        self._say = say
        self._limit = live_limit_seconds
        self._schedule = RestartSchedule()
        self._started_at = 0.0
        self._again_at: float | None = None
        self._ask_at = 0.0
        self._answered = False
        self._silent_since: float | None = None
        self._turn = threading.Lock()
        self._over = False

    def start(self) -> None:
        """Start it and call `began`. Raises whatever prevents it."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it with SIGKILL, with its children."""
        raise NotImplementedError

    def exit_code(self) -> int | None:
        """Return None while it runs; a negative number is the signal that ended it."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it answers a short request."""
        raise NotImplementedError

    def retire(self) -> None:
        """Tend it no more; returns when nothing is in progress."""
        self._over = True
        with self._turn:
            self._again_at = None

    def due(self) -> bool:
        """Whether `tend` has something to do. Costs next to nothing."""
        if self._over:
            return False
        now = time.monotonic()
        if self._again_at is not None:
            return now >= self._again_at
        return self.exit_code() is not None or now >= self._ask_at

    def tend(self) -> bool:
        """Do what is due: restart it, or ask whether it lives. Returns whether its state changed.

        Does nothing while another thread is at it.
        """
        if not self._turn.acquire(blocking=False):
            return False
        try:
            return not self._over and self._tend(time.monotonic())
        finally:
            self._turn.release()

    def _tend(self, now: float) -> bool:
        if self._again_at is not None:
            return now >= self._again_at and self._start_again()
        code = self.exit_code()
        if code is not None:
            return self._plan_restart(_how_it_ended(code))
        return now >= self._ask_at and self._check_answer(now)

    def began(self, answered: bool = False) -> None:
        """Count the time from here: it was just started, and perhaps proved that it works."""
        now = time.monotonic()
        self._again_at, self._answered = None, answered
        self._started_at = now
        self._silent_since = None if answered else now
        self._ask_at = now + self._limit / QUESTIONS_PER_LIMIT

    def _start_again(self) -> bool:
        self.restarts += 1
        try:
            self.start()
        except Exception as error:  # whatever prevents it may be gone at the next attempt
            if self._over:
                return False
            return self._plan_restart(f"could not be started: {getattr(error, 'message', error)}")
        self.reason = self.reason.partition("; next start")[0]
        self._say(f"{self.name} was started again")
        return True

    def _check_answer(self, now: float) -> bool:
        was_silent = self._answered and self._silent_since is not None
        if self.answers():
            self._answered, self._silent_since = True, None
            if was_silent:
                self.reason = ""
            self._ask_at = now + self._limit / QUESTIONS_PER_LIMIT
            return was_silent
        if self.exit_code() is not None:
            return False  # it ended meanwhile: the next look restarts it
        if self._silent_since is None:
            self._silent_since = now
        self._ask_at = time.monotonic() + self._limit / QUESTIONS_PER_LIMIT
        silent = time.monotonic() - self._silent_since
        if silent >= self._limit * (1 if self._answered else FIRST_ANSWER_LIMITS):
            self.kill()
            return self._plan_restart(f"did not answer for {silent:.0f} s and was killed")
        if self._answered and not was_silent:
            self.reason = f"does not answer since {_clock()}"
            return True
        return False

    def _plan_restart(self, why: str) -> bool:
        now = time.monotonic()
        pause = self._schedule.pause_after_end(now, now - self._started_at)
        self._again_at = now + pause
        limit = f" (more than {BUDGET} restarts within an hour)"
        after = f"in {pause:.1f} s{limit if self._schedule.budget_spent else ''}"
        self._say(f"{self.name} {why}; it is started again {after}. Its log: {self.log}")
        self.reason = f"{why.splitlines()[0]} at {_clock()}; next start at {_clock(pause)}"
        return True


class ServerPart(Part):
    """An embedded server of the stack."""

    def __init__(
        self,
        name: str,
        server: KafkaServer | PostgresServer,
        log: Path,
        say: Callable[[str], None],
        live_limit_seconds: float,
    ) -> None:
        super().__init__(name, log, say, live_limit_seconds)
        self._server = server

    def start(self) -> None:
        """Start the server and wait until it works."""
        self._server.start()
        self.began(answered=True)

    def kill(self) -> None:
        """End it with SIGKILL, with its children."""
        self._server.kill()

    def exit_code(self) -> int | None:
        """Return the code of a server that is wanted and ended."""
        return self._server.exit_code() if self._server.wanted else None

    def answers(self) -> bool:
        """Whether it answers; one that is not wanted is not asked."""
        return not self._server.wanted or self._server.answers()

    def retire(self) -> None:
        """Tend it no more; a start in progress is given up."""
        self._over = True
        while not self._turn.acquire(timeout=RETIRE_POLL_SECONDS):
            self._server.wanted = False  # again and again: a start begins by setting it
        self._turn.release()


def _how_it_ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit {code}"


def _clock(after_seconds: float = 0.0) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(time.time() + after_seconds))
