"""Named points at which a test may kill or pause this process; without the two settings each is a cheap no-op.

`BACKOFFICE_CRASH=name[@topic][:n]` kills the process with SIGKILL at the n-th visit, counted in this process; with a topic only
visits of the lane that hears it count.
`BACKOFFICE_PAUSE=folder`: at point `name` the process writes `folder/name.reached` and waits while `folder/name.hold` exists.
"""

import asyncio
import os
import signal
from collections import Counter
from contextvars import ContextVar
from pathlib import Path

from shared.settings import settings

POINTS = (
    "before_transaction",
    "inside_transaction",
    "after_locks",
    "before_commit",
    "after_commit",
    "after_publish",
    "before_offset_commit",
    "in_shutdown",
    "batch_selected",
    "batch_numbered",
    "watermark_moved",
)
"""The points on the road from a document to a closed batch, all visited by the kill runs; deliveries have further ones in their own runs."""
_visits: Counter[str] = Counter()
_topic: ContextVar[str] = ContextVar("topic", default="")


def hearing(topic: str) -> None:
    """From here on this task works for the lane of that topic."""
    _topic.set(topic)


async def point(name: str) -> None:
    """Die here, wait here, or (always, outside tests) go on."""
    wanted, folder = settings().crash, settings().pause
    if not wanted and not folder:
        return
    where, _, visit = wanted.partition(":")
    point_name, _, topic = where.partition("@")
    if point_name == name and topic in ("", _topic.get()):
        _visits[name] += 1
        if _visits[name] == int(visit or 1):
            if folder:
                (Path(folder) / f"{name}.{os.getpid()}.fired").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if folder:
        hold = Path(folder) / f"{name}.hold"
        if hold.exists():
            (Path(folder) / f"{name}.reached").touch()
            while hold.exists():
                await asyncio.sleep(0.02)
