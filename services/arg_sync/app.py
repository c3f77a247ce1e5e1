"""arg_sync (AR/GL synchronisation) as a FastStream application: its parts, connected.

`python -m services.arg_sync.app` or `faststream run services.arg_sync.app:app` runs it.
"""

import asyncio
import logging

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.handlers import connecting, desk
from services.arg_sync.handlers.engine import Engine
from services.arg_sync.handlers.holders import holder_name
from services.arg_sync.handlers.readers import Readers
from services.arg_sync.handlers.webhooks import answer_webhook
from services.arg_sync.ledgers.kinds import all_kinds
from services.arg_sync.store import announced, connections, deliveries
from shared import telemetry
from shared.consumer.application import build_app, run_app
from shared.consumer.protocol import BackgroundJob
from shared.consumer.records import Applied
from shared.consumer.worker import Service, Worker
from shared.settings import settings

LOOK_SECONDS = 1.0


class Clockwork:
    """The worker's timer: deliveries and readers look for work, again and again."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._readers: Readers | None = None

    async def __call__(self, worker: Worker) -> None:
        """One look, then a rest."""
        if self._engine is None or self._readers is None:
            holder = holder_name(settings().replica)
            self._engine, self._readers = (
                Engine(worker.unit_of_work, all_kinds(), holder),
                Readers(worker.unit_of_work, all_kinds(), holder),
            )
        await self._engine.look()
        await self._readers.look()
        await asyncio.sleep(LOOK_SECONDS)

    async def drain(self) -> None:
        """Finishes the work in hand when the worker stops.

        The end of the timer's loop does not: a loop ends by itself if it sees the stop first.
        """
        await asyncio.gather(
            *(each.drain() for each in (self._engine, self._readers) if each is not None)
        )


def tell_kinds() -> BackgroundJob:
    """A job that stores once which kinds of ledgers this version knows."""
    told: list[bool] = []

    async def job(connection: AsyncConnection) -> Applied:
        if not told:
            await connections.put_kinds(
                connection, [connecting.described(kind) for kind in all_kinds().values()]
            )
            told.append(True)
        return Applied()

    return job


async def collect_metrics(connection: AsyncConnection) -> None:
    """Fills the metrics of deliveries: how many are in each state, and the age of the oldest
    unfinished one."""
    telemetry.DELIVERIES.clear()
    for ledger, state, number in await deliveries.figures(connection):
        telemetry.DELIVERIES.labels(ledger, state).set(number)
    telemetry.OLDEST_UNSYNCED.set(float(await deliveries.oldest_open_seconds(connection)))


def service() -> Service:
    """arg_sync as a worker runs it."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    clockwork = Clockwork()
    return Service(
        name=desk.NAME,
        subscriptions=list(desk.subscriptions().values()),
        builders=dict(announced.MESSAGE_BUILDERS),
        jobs=[("kinds", tell_kinds()), ("held commands", desk.answer_held)],
        collect_metrics=collect_metrics,
        timers=[clockwork],
        routes={"/webhooks/": answer_webhook},
        closings=[clockwork.drain],
        description="How documents reach the accounting systems: delivers each closed document"
        " once, and says what became of it.",
    )


app = build_app(service())

if __name__ == "__main__":
    run_app(app)
