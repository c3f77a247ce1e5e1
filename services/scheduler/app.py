"""Wires the scheduler: its one lane, its timer, its metric. `python -m services.scheduler.app` runs the worker."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scheduler import store
from services.scheduler.handlers import DESK, SAYS, companies_behind, on_new_day
from shared import clock, telemetry
from shared.consumer.protocol import Books, say_left
from shared.consumer.records import Applied, UnsaidId
from shared.consumer.worker import Service, Worker, main
from shared.settings import settings


async def announce(books: Books, company: str) -> int:
    """One company's new day: a transaction that moves the watermark, then range after range is said; how many ranges."""
    ranges: list[UnsaidId] = []

    async def work(connection: AsyncConnection) -> Applied:
        ranges[:] = await on_new_day(connection, company)
        return Applied()

    await books.transact(work)
    for a_range in ranges:
        await say_left(books, [a_range])
    return len(ranges)


async def tick(worker: Worker) -> None:
    """One look at the clock for each company, then a rest."""
    async with worker.books.engine.connect() as connection:
        behind = await companies_behind(connection)
    for company in behind:
        await announce(worker.books, company)
        worker.progress.mark("timer")
    await asyncio.sleep(settings().tick_seconds)


async def watch(connection: AsyncConnection) -> None:
    """How many days each company's watermark is behind its today: 0 unless this worker was off."""
    for company in await store.companies(connection):
        today = clock.today_of(company.time_zone)
        telemetry.WATERMARK_BEHIND.labels(company.billing_company).set(0 if company.watermark is None else max(0, (today - company.watermark).days))


def service() -> Service:
    """The worker's parts."""
    return Service("scheduler", lanes=[DESK.lane()], says=SAYS, watch=watch, timers=[tick])


if __name__ == "__main__":
    main(service)
