"""When a part of the stack is started again: back-off, and a budget of quick restarts.

Pure: the clock comes in as an argument, in seconds of any monotonic clock.
"""

from collections import deque
from dataclasses import dataclass, field

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
STEADY_SECONDS = 60.0
"""A part that ran longer than this begins again with the first pause."""
BUDGET, BUDGET_SECONDS = 20, 3600.0
"""So many restarts within so many seconds follow the back-off."""
OVER_BUDGET_PAUSE_SECONDS = 300.0
"""The pause once the budget is spent. Nothing is given up: a full disk may be freed at any time."""


@dataclass
class RestartSchedule:
    """The restarts of one part: each pause is twice the one before, within limits."""

    _pause: float = FIRST_PAUSE_SECONDS
    _recent: deque[float] = field(default_factory=deque)

    def pause_after_end(self, now: float, ran_seconds: float) -> float:
        """Return the seconds to wait before the next start of a part that ended `now`."""
        while self._recent and self._recent[0] <= now - BUDGET_SECONDS:
            self._recent.popleft()
        self._recent.append(now)
        if ran_seconds > STEADY_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        if self.budget_spent:
            return OVER_BUDGET_PAUSE_SECONDS
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return pause

    @property
    def budget_spent(self) -> bool:
        """Whether more ends than the budget allows fell into its time."""
        return len(self._recent) > BUDGET
