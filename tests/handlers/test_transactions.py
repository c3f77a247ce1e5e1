"""Transactions of producers, on a real Kafka: what is aborted has no effect, lag ends at 0."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiokafka import AIOKafkaProducer

from shared.broker.security import kafka_access
from shared.broker.topics import full_name, group_name
from shared.consumer.lag import GroupLag, lag_of
from shared.settings import settings
from tests.conftest import Configure, EngineOf
from tests.handlers.sample_worker import all_kept, committed, kept, publish, until, working
from tests.sample_service import SERVICE, TOPIC, SampleService, sample


@asynccontextmanager
async def transactional(name: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer with transactions."""
    async with AIOKafkaProducer(
        **kafka_access().client_options(), transactional_id=f"{settings().topic_prefix}{name}"
    ) as producer:
        yield producer


async def send(producer: AIOKafkaProducer, name: str) -> None:
    """Sends one sample on partition 0."""
    await producer.send_and_wait(full_name(TOPIC), sample(name), key=b"k", partition=0)


async def lag() -> list[GroupLag]:
    """The lag of the sample worker on its topic."""
    group = group_name(SERVICE, TOPIC)
    return await lag_of(kafka_access(), {group: full_name(TOPIC)})


async def has_committed(offset: int) -> bool:
    """Whether the group committed this offset of partition 0."""
    return (await committed()).get(0) == offset


async def test_what_a_transaction_aborted_has_no_effect_and_leaves_no_lag(
    sample_setup: dict[str, str], engine_of: EngineOf
) -> None:
    """An aborted sample is not stored; committed ones before and after it are, in their order.

    The markers and the aborted record count as lag until they are passed, and then no more, also
    when no further record comes.
    """
    async with working(SampleService()), transactional("ats") as producer:
        for name, commits in (("a", True), ("b", False), ("c", True), ("d", False)):
            await producer.begin_transaction()
            await send(producer, name)
            await (producer.commit_transaction() if commits else producer.abort_transaction())
        await until("two samples", all_kept(engine_of, 2))
        await until("the end is committed", partial(has_committed, 8))
        assert [(one.partition, one.behind) for one in await lag()] == [(0, 0), (1, 0)]
    assert await kept(engine_of) == ["a", "c"]
    async with working(SampleService()):
        await asyncio.sleep(2)
    assert await kept(engine_of) == ["a", "c"], "a replay skips them too"


async def test_an_open_transaction_holds_back_and_makes_nothing_look_stuck(
    sample_setup: dict[str, str], engine_of: EngineOf, configure: Configure
) -> None:
    """What follows the begin of an open transaction on its partition waits for its end.

    Meanwhile the worker is ready, although records lie there longer than its limit allows, and its
    lag is 0: there is nothing that it may read.
    """
    configure(progress_limit_seconds=4.5)
    async with working(SampleService()) as (app, _), transactional("slow") as producer:
        await publish(sample("a"))
        await producer.begin_transaction()
        await send(producer, "b")
        await publish(sample("c"))
        await publish(sample("d"), partition=1)
        await until("the free ones", all_kept(engine_of, 2))
        await asyncio.sleep(6)
        assert app.worker.progress.ready() == (True, "work flows")
        assert sorted(await kept(engine_of)) == ["a", "d"]
        assert [(one.committed, one.end, one.lag) for one in await lag()] == [(1, 1, 0), (1, 1, 0)]
        await producer.commit_transaction()
        await until("the others", all_kept(engine_of, 4))
    assert (await kept(engine_of))[2:] == ["b", "c"]
