"""Two workers at once: facts and documents arrive in both orders, nothing stays held."""

import asyncio
import random
from typing import Any

import pytest

from services.fee_realizer.app import DISPATCHER, SUBSCRIPTIONS, jobs
from services.fee_realizer.sources.handlers.pricing import price_queued
from shared.consumer.processing import Subscription
from shared.consumer.records import Received
from tests.builders import COMPANY, command, days, rate, record, requirement, timesheet
from tests.conftest import process
from tests.handlers.realizing import COMPANY_SET, Realizer, ready, realizer

__all__ = ["ready", "realizer"]
SUBSCRIPTION: dict[str, Subscription] = {
    subscription.topic: subscription for subscription in (*SUBSCRIPTIONS, DISPATCHER.subscription())
}
TIMESHEET = ("timesheet-approved", timesheet())
MEETINGS: dict[str, tuple[list[Any], tuple[str, Any]]] = {
    "its requirement": ([COMPANY_SET], ("requirement-changed", requirement())),
    "its billing company": (
        [requirement()],
        ("operator-commands", command("set-billing-company", billing_company=COMPANY)),
    ),
    "another rate": (
        [COMPANY_SET, requirement(rates=[rate(price="1.00")])],
        ("requirement-changed", requirement(revision=2)),
    ),
}


async def overlapped(realizer: Realizer, first: tuple[str, Any], second: tuple[str, Any]) -> None:
    """Process the second message while the first one's uncommitted transaction holds its locks."""
    topic, event = first
    async with realizer.unit_of_work.engine.connect() as connection, connection.begin():
        await SUBSCRIPTION[topic].apply(connection, [Received(event, record(topic, event))])
        task = asyncio.create_task(
            process(realizer.unit_of_work, SUBSCRIPTION[second[0]], [record(*second)])
        )
        await asyncio.sleep(0.3)
        assert not task.done(), "the second must wait for the first one's locks"
    await task


@pytest.mark.parametrize("timesheet_first", [True, False], ids=["timesheet first", "fact first"])
@pytest.mark.parametrize("meets", MEETINGS)
async def test_a_timesheet_and_its_fact_arrive_together(
    realizer: Realizer, meets: str, timesheet_first: bool
) -> None:
    """A timesheet and its missing fact on two workers at once: realized at the newest price."""
    before, fact = MEETINGS[meets]
    await realizer.consume(*before)
    await overlapped(realizer, *((TIMESHEET, fact) if timesheet_first else (fact, TIMESHEET)))
    await realizer.do_jobs()
    assert await realizer.held() == {}
    (row,) = await realizer.select("SELECT body FROM fee_realizer.latest_realization")
    assert '"amount":"2000"' in row.body


async def test_two_workers_take_the_same_new_document(ready: Realizer) -> None:
    """A worker that was replaced still finishes.

    Unique keys make its work a repeat.
    """
    await overlapped(ready, TIMESHEET, TIMESHEET)
    rows = await ready.select("SELECT realization_no FROM fee_realizer.realization")
    assert [row.realization_no for row in rows] == [1]
    assert await ready.dead_letters() == []


async def test_two_revisions_from_two_workers(ready: Realizer) -> None:
    """The newer revision waits for the older one, and is in force in both orders."""
    await ready.consume(timesheet())
    newer, older = (
        timesheet(revision=3, entries=days("7")),
        timesheet(revision=2, entries=days("6")),
    )
    await overlapped(ready, ("timesheet-approved", newer), ("timesheet-approved", older))
    await overlapped(
        ready,
        ("timesheet-approved", timesheet(revision=4, entries=days("6"))),
        ("timesheet-approved", timesheet(revision=5, entries=days("5"))),
    )
    (row,) = await ready.select(
        "SELECT revision, realization_no, body FROM fee_realizer.latest_realization"
    )
    assert (row.revision, row.realization_no) == (5, 4)
    assert '"quantity":"25"' in row.body


async def test_a_rate_that_changes_while_its_documents_are_priced(ready: Realizer) -> None:
    """A change of a fact waits for pricing, then queues the documents again.

    None has the old price.
    """
    await ready.consume(*(timesheet(f"T-{at}") for at in range(20)))
    await process(
        ready.unit_of_work,
        SUBSCRIPTION["requirement-changed"],
        [record("requirement-changed", requirement(revision=2, rates=[rate(price="60.00")]))],
    )
    async with ready.unit_of_work.engine.connect() as connection, connection.begin():
        await price_queued(connection)
        change = record("requirement-changed", requirement(revision=3, rates=[rate(price="70.00")]))
        task = asyncio.create_task(
            process(ready.unit_of_work, SUBSCRIPTION["requirement-changed"], [change])
        )
        await asyncio.sleep(0.3)
        assert not task.done()
    await task
    await ready.do_jobs()
    bodies = [
        row.body for row in await ready.select("SELECT body FROM fee_realizer.latest_realization")
    ]
    assert len(bodies) == 20
    assert all('"amount":"2800"' in body for body in bodies)


@pytest.mark.parametrize("seed", range(3))
async def test_timesheets_and_requirements_published_at_the_same_moment(
    realizer: Realizer, seed: int
) -> None:
    """Small batches on many connections with two background jobs at once.

    No document stays held.
    """
    rng = random.Random(seed)
    ids = [f"REQ-{at}" for at in range(12)]
    records = [record("requirement-changed", requirement(one)) for one in ids]
    records += [
        record(
            "timesheet-approved", timesheet(f"T-{at}", entries=days(requirement_id=rng.choice(ids)))
        )
        for at in range(240)
    ]
    records.append(record("operator-commands", COMPANY_SET))
    queues: dict[str, list[Any]] = {
        topic: [one for one in records if one.topic == topic] for topic in SUBSCRIPTION
    }
    for queue in queues.values():
        rng.shuffle(queue)

    async def worker(topic: str, batch: list[Any]) -> None:
        await asyncio.sleep(rng.random() * 0.2)
        await process(realizer.unit_of_work, SUBSCRIPTION[topic], batch)

    async def job() -> None:
        for _ in range(5):
            for _, work in jobs():
                await realizer.unit_of_work.transact(work)

    halves = [
        (topic, queue[half::3])
        for topic, queue in queues.items()
        for half in range(3)
        if queue[half::3]
    ]
    await asyncio.gather(*(worker(*one) for one in halves), job(), job())
    await realizer.do_jobs()
    assert await realizer.held() == {}
    rows = await realizer.select(
        "SELECT realization_kind, body FROM fee_realizer.latest_realization"
    )
    assert len(rows) == 240
    assert all('"amount":"2000"' in row.body for row in rows)
