"""The scheduler as a FastStream application: its parts, connected.

`python -m services.scheduler.app` or `faststream run services.scheduler.app:app` runs it.
"""

import asyncio

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler.due_lines import store
from services.scheduler.due_lines.handlers import (
    DISPATCHER,
    MESSAGE_BUILDERS,
    NAME,
    announce,
    companies_behind,
)
from shared import clock, telemetry
from shared.consumer.application import build_app, run_app
from shared.consumer.worker import Service, Worker
from shared.settings import settings


async def tick(worker: Worker) -> None:
    """Announce the new day of each company that is behind, then wait for the next tick."""
    async with worker.unit_of_work.engine.connect() as connection:
        behind = await companies_behind(connection)
    for company in behind:
        await announce(worker.unit_of_work, company)
        worker.progress.mark("timer")
    await asyncio.sleep(settings().tick_seconds)


async def collect_metrics(connection: AsyncConnection) -> None:
    """Report how many days each company's watermark is behind: 0 unless this worker was off."""
    for company in await store.company_watermarks(connection):
        today = clock.today_of(company.time_zone)
        behind = (today - (company.watermark or today)).days
        telemetry.WATERMARK_BEHIND.labels(company.billing_company).set(max(0, behind))


def service() -> Service:
    """Return the parts of the worker."""
    return Service(
        NAME,
        subscriptions=[DISPATCHER.subscription()],
        builders=MESSAGE_BUILDERS,
        collect_metrics=collect_metrics,
        timers=[tick],
        description="When: announces lines whose day has come in their billing company's zone.",
    )


app = build_app(service())

if __name__ == "__main__":
    run_app(app)
