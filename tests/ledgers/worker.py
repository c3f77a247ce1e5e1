"""A delivery worker as a process of its own, to be killed and stopped: the engine with the real
kinds, their limits lifted and their times scaled.

`python -m tests.ledgers.worker FILE` writes what it says on topics to FILE; database and key come
from the settings.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.arg_sync.deliveries.handlers import delivery_run as running
from services.arg_sync.deliveries.handlers.delivery_loop import DeliveryLoop
from services.arg_sync.ledgers.registry import adapter_specs
from services.arg_sync.subscriptions import MESSAGE_BUILDERS
from shared.broker.producer import OutgoingMessage
from shared.consumer.unit_of_work import UnitOfWork
from shared.database import engine_for

REQUEST_SECONDS, SERVER_SECONDS, HOLD_SECONDS = 0.5, 1.0, 2.0


class File:
    """Takes the place of the producer."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def publish(self, records: Sequence[OutgoingMessage]) -> None:
        """Writes them down."""
        with self._path.open("ab") as file:
            for each in records:
                file.write(f"{each.topic} {each.key} ".encode() + each.value + b"\n")


async def work(path: Path) -> None:
    """Until it is killed."""
    times: dict[str, Any] = {
        "per_minute": None,
        "per_day": None,
        "request_seconds": REQUEST_SECONDS,
        "server_seconds": SERVER_SECONDS,
    }
    kinds = {
        name: replace(kind, capabilities=replace(kind.capabilities, **times))
        for name, kind in adapter_specs().items()
    }
    running.hold_seconds = lambda *asked, **more: HOLD_SECONDS
    unit_of_work = UnitOfWork(
        "arg_sync", engine_for("arg_sync"), File(path), dict(MESSAGE_BUILDERS)
    )  # type: ignore[arg-type]
    engine = DeliveryLoop(unit_of_work, kinds, f"worker {os.getpid()}")
    while True:
        await engine.start_due_work()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1])))
