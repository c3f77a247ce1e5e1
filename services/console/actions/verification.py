"""One run of the checks of the data at a time, for a process that stays.

It runs on when the page is left; the page shows later how it is, or the last report.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from shared import telemetry
from shared.clock import now
from shared.errors import Unavailable
from shared.verify import Report

MAY_VERIFY = ("controller",)
"""The roles that may run the checks: they read all billing companies."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A run: by whom, since when; its report or why there is none once it has ended."""

    actor: str
    began: datetime
    ended: datetime | None = None
    report: Report | None = None
    failure: str = ""


class Verification:
    """Starts the checks and keeps the last run. `check` makes the report."""

    def __init__(self, check: Callable[[], Awaitable[Report]]) -> None:
        self._check = check
        self._task: asyncio.Task[None] | None = None
        self.last: Checked | None = None

    @property
    def runs(self) -> bool:
        """Whether the checks are running."""
        return self._task is not None and not self._task.done()

    def start(self, actor: str) -> None:
        """Start the checks; nothing changes while they run."""
        if not self.runs:
            begun = Checked(actor, now())
            self.last = begun
            self._task = asyncio.create_task(self._run(begun), name="verify")

    async def close(self) -> None:
        """Give up what runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, begun: Checked) -> None:
        report, failure = None, ""
        try:
            report = await self._check()
        except Unavailable as error:
            failure = error.message
        except Exception as error:
            telemetry.log().error("the checks of the data failed", exc_info=error)
            failure = f"unexpected error ({type(error).__name__}); the log of the console has more"
        self.last = Checked(begun.actor, begun.began, now(), report, failure)
