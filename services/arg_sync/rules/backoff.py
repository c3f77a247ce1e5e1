"""How long to wait: for the other side, exponential with jitter and what it asks for within bounds; a connection's circuit; for a batch
that a command names and nobody has told us of."""

from collections.abc import Callable
from dataclasses import dataclass

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 900.0
LONGEST_RETRY_AFTER_SECONDS = 3600.0
OPENS_AFTER = 3
FIRST_OPEN_SECONDS = 1.0
LONGEST_OPEN_SECONDS = 300.0
HELD_MINUTES = 15
"""So long a command about a batch that we have not heard of waits for it."""

Chances = Callable[[], float]
"""A number from 0 to 1: the jitter comes from outside, rules draw nothing."""


def backoff(
    tries: int, chances: Chances, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS
) -> float:
    """Seconds before the next try: doubled each time, half of it by chance, so that many do not come back at one moment."""
    whole: float = min(longest, first * 2.0 ** min(max(tries - 1, 0), 20))
    return whole * (0.5 + chances() / 2)


def capped(retry_after: float | None) -> float:
    """What the other side asks us to wait, but not for ever: after an hour we ask again."""
    return 0.0 if retry_after is None else min(max(retry_after, 0.0), LONGEST_RETRY_AFTER_SECONDS)


@dataclass(frozen=True, slots=True)
class Circuit:
    """A connection's failures in a row, and for how many seconds from now nothing is sent."""

    failures: int
    open_seconds: float


def after_trouble(failures: int, retry_after: float | None, chances: Chances) -> Circuit:
    """One more failure of the connection itself: from the third on it rests, longer each time; a wish of the other side counts at once."""
    failures += 1
    rest = (
        backoff(failures - OPENS_AFTER + 1, chances, FIRST_OPEN_SECONDS, LONGEST_OPEN_SECONDS)
        if failures >= OPENS_AFTER
        else 0.0
    )
    return Circuit(failures, max(rest, capped(retry_after)))
