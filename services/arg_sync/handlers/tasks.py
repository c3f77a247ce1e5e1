"""What a worker has under way at the same time, each piece of work under a name of its own: none is begun twice, and none dies unnoticed."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


class Tasks:
    """Pieces of work under way."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, name: object) -> bool:
        return name in self._running

    def begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Begins one, whose name none has that is under way."""
        self._running[name] = asyncio.create_task(work, name=name)

    def forget_ended(self) -> None:
        """Forgets what has ended. Raises what one died of."""
        for name, task in list(self._running.items()):
            if task.done():
                del self._running[name]
                task.result()

    async def end(self, seconds: float) -> None:
        """Waits so long for what is under way, and breaks off the rest."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=seconds)
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def until_idle(self, look: Callable[[], Awaitable[int]], seconds: float) -> None:
        """Looks for work, again whenever one has ended, until there is none."""
        async with asyncio.timeout(seconds):
            while await look():
                await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
