"""Waiting times of a connection (backoff, circuit, pause between calls), code look-up, and what
its secrets are bound to.

Random numbers come in as `jitter`, so the rules stay deterministic.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

FIRST_SECONDS = 2.0
MAX_SECONDS = 900.0
MAX_RETRY_AFTER_SECONDS = 3600.0
OPENS_AFTER_FAILURES = 3
FIRST_OPEN_SECONDS = 1.0
MAX_OPEN_SECONDS = 300.0
LOGINS_AT_ONCE = 3
"""Refused logins before the next one must wait: vendors lock an account after five or more."""
FIRST_LOGIN_SECONDS = 330.0
LOGIN_WINDOW_SECONDS = 3900.0
"""How long a vendor counts failed logins, at most: an hour, and some minutes to be sure."""
PACE = 0.98
"""Share of the rate budget that is used. The rest absorbs the jitter of the network."""

Jitter = Callable[[], float]
"""Returns a random number from 0 to 1."""

Codes = Mapping[tuple[str, str], str]
"""(what, our code) → the ledger's code. The empty code holds the default."""


def backoff(
    tries: int, jitter: Jitter, first: float = FIRST_SECONDS, longest: float = MAX_SECONDS
) -> float:
    """Return the seconds before the next try: doubled each time, half of it random.

    The random half keeps many deliveries from coming back at the same moment.
    """
    whole: float = min(longest, first * 2.0 ** min(max(tries - 1, 0), 20))
    return whole * (0.5 + jitter() / 2)


def capped(retry_after: float | None) -> float:
    """Return the wait that the ledger asks for, at most an hour."""
    return 0.0 if retry_after is None else min(max(retry_after, 0.0), MAX_RETRY_AFTER_SECONDS)


def login_pause(failed_before: int, retry_after: float | None, *, limited: bool) -> float:
    """Return the seconds until the next login after one that was refused or not admitted.

    A refused login is not repeated by itself; what an operator asks for is let through a few times.
    Where logins are limited (`limited`) each of ours counts, so the waits grow from a little more
    than Tryton's standard window of five minutes to more than an hour.
    """
    if not limited:
        return LOGIN_WINDOW_SECONDS if failed_before + 1 >= LOGINS_AT_ONCE else 0.0
    doubled: float = FIRST_LOGIN_SECONDS * 2.0 ** min(failed_before, 10)
    return max(min(doubled, LOGIN_WINDOW_SECONDS), retry_after or 0.0)


@dataclass(frozen=True, slots=True)
class Circuit:
    """Consecutive failures of a connection, and for how many seconds nothing is sent."""

    failures: int
    open_seconds: float


def after_connection_failure(failures: int, retry_after: float | None, jitter: Jitter) -> Circuit:
    """Count one more failure. The third opens the circuit; a requested wait opens it at once."""
    failures += 1
    pause = (
        backoff(failures - OPENS_AFTER_FAILURES + 1, jitter, FIRST_OPEN_SECONDS, MAX_OPEN_SECONDS)
        if failures >= OPENS_AFTER_FAILURES
        else 0.0
    )
    return Circuit(failures, max(pause, capped(retry_after)))


def pause_seconds(per_minute: int) -> float:
    """Return the seconds between two calls, 2 % slower than the rate budget.

    The margin keeps every minute within the budget, whatever delay the network adds.
    """
    return 60.0 / (per_minute * PACE)


def changed_binding(
    bound: Iterable[str], before: Mapping[str, str], after: Mapping[str, str]
) -> list[str]:
    """Return the settings among `bound` (address, account) that differ; empty is absent."""
    return [name for name in bound if (before.get(name) or "") != (after.get(name) or "")]


def code_for(codes: Codes, what: str, candidates: Iterable[str]) -> str:
    """Return the ledger's code for the first mapped candidate, else the default, else ""."""
    for code in candidates:
        if code and (what, code) in codes:
            return codes[what, code]
    return codes.get((what, ""), "")
