"""Named points at which a test may kill or pause this process; without the settings, no operation.

`BACKOFFICE_CRASH=name[@topic][:n]` kills the process with SIGKILL at the n-th visit in this
process; with a topic, only visits of that topic's subscription count.
`BACKOFFICE_PAUSE=folder`: at point `name` the process writes `folder/name.reached` and waits while
`folder/name.hold` exists.
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
"""The points from a document to a closed batch; the kill tests visit all. Deliveries have more."""
_visits: Counter[str] = Counter()
_topic: ContextVar[str] = ContextVar("topic", default="")


def consuming(topic: str) -> None:
    """Record that this task now works for the subscription of a topic."""
    _topic.set(topic)


async def point(name: str) -> None:
    """Kill or pause the process here if the settings say so; otherwise return."""
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
