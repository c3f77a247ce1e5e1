"""The scheduler as a FastStream application: its parts, connected.

`python -m services.scheduler.app` or `faststream run services.scheduler.app:app` runs it.
"""

import asyncio

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler import store
from services.scheduler.handlers import DISPATCHER, MESSAGE_BUILDERS, companies_behind, on_new_day
from shared import clock, telemetry
from shared.consumer.application import build_app, run_app
from shared.consumer.protocol import UnitOfWork, publish_pending
from shared.consumer.records import Applied, OutboxId
from shared.consumer.worker import Service, Worker
from shared.settings import settings


async def announce(books: UnitOfWork, company: str) -> int:
    """Begins a company's new day: moves the watermark, then publishes range after range.

    Gives the number of ranges.
    """
    ranges: list[OutboxId] = []

    async def work(connection: AsyncConnection) -> Applied:
        ranges[:] = await on_new_day(connection, company)
        return Applied()

    await books.transact(work)
    for a_range in ranges:
        await publish_pending(books, [a_range])
    return len(ranges)


async def tick(worker: Worker) -> None:
    """Looks at the clock once for each company, then rests."""
    async with worker.unit_of_work.engine.connect() as connection:
        behind = await companies_behind(connection)
    for company in behind:
        await announce(worker.unit_of_work, company)
        worker.progress.mark("timer")
    await asyncio.sleep(settings().tick_seconds)


async def collect_metrics(connection: AsyncConnection) -> None:
    """Fills the metric of days that each company's watermark is behind its today: 0 unless this
    worker was off."""
    for company in await store.companies(connection):
        today = clock.today_of(company.time_zone)
        telemetry.WATERMARK_BEHIND.labels(company.billing_company).set(
            0 if company.watermark is None else max(0, (today - company.watermark).days)
        )


def service() -> Service:
    """The worker's parts."""
    return Service(
        "scheduler",
        subscriptions=[DISPATCHER.subscription()],
        builders=MESSAGE_BUILDERS,
        collect_metrics=collect_metrics,
        timers=[tick],
        description="When: announces lines whose day has come in their billing company's zone.",
    )


app = build_app(service())

if __name__ == "__main__":
    run_app(app)
