"""Lag is the end of the partition minus the committed offset of the group."""

import asyncio
import json
import re
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from services.console.queries import worker_pages
from shared.broker.security import kafka_access
from shared.broker.topics import full_name, group_name
from shared.consumer.lag import GroupLag, LagReader, export, groups_of, lag_of
from shared.settings import settings
from shared.stack.workers import LAG_EXPORTER
from shared.telemetry import REGISTRY
from tests.conftest import Configure
from tests.running import running, until


async def test_lag_counts_what_a_group_has_not_committed(topics: str) -> None:
    """Five records, two committed: the lag is three.

    A partition without a commit has all its records to read, in the metric too.
    """
    topic, group = full_name("timesheet-approved"), group_name("fee_realizer", "timesheet-approved")
    async with AIOKafkaProducer(**kafka_access().client_options()) as producer:
        for at in range(5):
            await producer.send_and_wait(topic, str(at).encode(), partition=0)
        await producer.send_and_wait(topic, b"other", partition=1)
    async with AIOKafkaConsumer(
        **kafka_access().client_options(), group_id=group, enable_auto_commit=False
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.commit({TopicPartition(topic, 0): 2})
    found = [one for one in await lag_of(kafka_access()) if one.group == group]
    assert found == [GroupLag(group, topic, 0, 2, 5), GroupLag(group, topic, 1, -1, 1)]
    assert [(one.lag, one.behind) for one in found] == [(3, 3), (-1, 1)]
    export(found)
    labels = {"consumergroup": group, "topic": topic, "partition": "0"}
    assert REGISTRY.get_sample_value("kafka_consumergroup_lag", labels) == 3
    labels["partition"] = "1"
    assert REGISTRY.get_sample_value("kafka_consumergroup_lag", labels) == 1


async def test_what_kafka_has_deleted_is_no_lag(topics: str) -> None:
    """Three records, the first two deleted by retention: one is left to read.

    That holds for a group that committed nothing, and for one that stopped before the deletion.
    """
    topic, group = full_name("timesheet-approved"), group_name("fee_realizer", "timesheet-approved")
    partition = TopicPartition(topic, 0)
    async with AIOKafkaProducer(**kafka_access().client_options()) as producer:
        for at in range(3):
            await producer.send_and_wait(topic, str(at).encode(), partition=0)
    async with AIOKafkaConsumer(
        **kafka_access().client_options(), group_id=group, enable_auto_commit=False
    ) as consumer:
        consumer.assign([partition])
        await consumer.commit({partition: 1})
    admin = AIOKafkaAdminClient(**kafka_access().client_options())
    await admin.start()
    await admin.delete_records({partition: RecordsToDelete(before_offset=2)})
    await admin.close()
    found = await lag_of(kafka_access(), {group: topic, "no worker's": topic})
    assert [(one.group, one.lag, one.behind) for one in found if one.partition == 0] == [
        ("no worker's", -1, 1),
        (group, 1, 1),
    ]


async def test_every_group_of_every_service_has_rows(topics: str) -> None:
    """Two partitions a topic: two rows, also before a first run."""
    found = await lag_of(kafka_access())
    assert sorted({one.group for one in found}) == sorted(groups_of())
    assert len(found) == 2 * len(groups_of())


async def test_a_topic_that_is_not_there_has_no_rows(topics: str) -> None:
    """A missing topic is left out; the others are shown."""
    found = await lag_of(
        kafka_access(), {"no one": full_name("nothing-here"), **groups_of(["scheduler"])}
    )
    assert {one.topic for one in found} == {full_name("operator-commands")}


AN_HOUR_MS = 3_600_000


async def test_the_age_is_that_of_the_oldest_unread_record(topics: str) -> None:
    """The age is that of the record at the committed offset, for each group of the topic.

    A group at the end has no age, nor has one for which only the marker of a transaction is left.
    """
    topic, new = full_name("timesheet-approved"), group_name("invoicer", "timesheet-approved")
    old, at_end = (group_name(one, "timesheet-approved") for one in ("scheduler", "fee_realizer"))
    now, partition = int(time.time() * 1000), TopicPartition(topic, 0)
    async with AIOKafkaProducer(**kafka_access().client_options()) as producer:
        for hours in (3, 2, 1):
            at = now - hours * AN_HOUR_MS
            await producer.send_and_wait(topic, b"x", partition=0, timestamp_ms=at)
    async with AIOKafkaProducer(
        **kafka_access().client_options(), transactional_id=f"{topics}aborts"
    ) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted", partition=0)
        await producer.abort_transaction()
    for group, offset in ((old, 1), (at_end, 5), (new, 3)):
        async with AIOKafkaConsumer(
            **kafka_access().client_options(), group_id=group, enable_auto_commit=False
        ) as consumer:
            consumer.assign([partition])
            await consumer.commit({partition: offset})
    groups = dict.fromkeys((old, at_end, new, "never committed"), topic)
    async with LagReader(kafka_access()) as reader:
        for _ in range(2):  # the second time without reading the records again
            found = await reader.with_ages(await reader.lag(groups))
            hours = {
                one.group: one.seconds and round(one.seconds * 1000 / AN_HOUR_MS, 1)
                for one in found
                if one.partition == 0
            }
            assert hours == {old: 2.0, "never committed": 3.0, at_end: 0.0, new: None}


async def test_the_exporter_shows_every_group_without_any_worker(
    stack: dict[str, str], topics: str, tmp_path: Path
) -> None:
    """No worker runs, and none ever did: records and seconds of all groups are there.

    Asked again at once, the exporter does not ask Kafka again.
    """
    async with AIOKafkaProducer(**kafka_access().client_options()) as producer:
        at = int(time.time() * 1000) - AN_HOUR_MS
        for _ in range(3):
            await producer.send_and_wait(
                full_name("billto-changed"), b"x", b"k", partition=1, timestamp_ms=at
            )
    alone = {name: value for name, value in stack.items() if "DATABASE" not in name}
    async with running(alone, tmp_path, LAG_EXPORTER, sweep_seconds=60) as (one,):

        async def ready() -> bool:
            return (await asyncio.to_thread(one.page, "/readyz"))[0] == 200

        await until("the exporter is ready", ready)
        assert (await asyncio.to_thread(one.page, "/healthz"))[0] == 200
        status, page = await asyncio.to_thread(one.page, "/metrics")
        series = dict(re.findall(r"^(kafka_\S+) (\S+)$", page, re.MULTILINE))
        assert (status, len(series)) == (200, 4 * len(groups_of()))
        group = group_name("invoicer", "billto-changed")
        labels = f'{{consumergroup="{group}",partition="1",topic="{full_name("billto-changed")}"}}'
        assert float(series[f"kafka_consumergroup_lag{labels}"]) == 3
        assert 3600 <= float(series[f"kafka_consumergroup_lag_seconds{labels}"]) < 3700
        assert "backoffice_" not in page
        began = time.monotonic()
        assert await asyncio.to_thread(one.page, "/metrics") == (200, page)
        assert time.monotonic() - began < 1


async def test_the_exporter_shows_a_stopped_worker_and_an_hour(
    stack: dict[str, str], topics: str, tmp_path: Path, configure: Configure
) -> None:
    """A member of the group reads on and goes: within 10 s its lag is shown, and no member.

    The history has the time before, although no page was asked for. After a restart the exporter
    says since when it knows. It answers to loopback only, as the pages of workers do.
    """
    name = "billto-changed"
    group, topic = group_name("invoicer", name), full_name(name)
    alone = {name: value for name, value in stack.items() if "DATABASE" not in name}

    async with running(alone, tmp_path, LAG_EXPORTER, sweep_seconds=5) as (one,):

        async def row(**wanted: object) -> dict[str, object] | None:
            status, page = await asyncio.to_thread(one.page, f"/lag?group={group}")
            found = json.loads(page) if status == 200 else {"groups": [{}]}
            same = {name: found["groups"][0].get(name) for name in wanted} == wanted
            return found if same else None

        async with AIOKafkaProducer(**kafka_access().client_options()) as producer:
            async with AIOKafkaConsumer(
                topic, **kafka_access().client_options(), group_id=group, enable_auto_commit=False
            ) as worker:
                await producer.send_and_wait(topic, b"x", b"k")
                await worker.commit({TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0})
                before = await until("one member", lambda: row(members=1, behind=1))
            stopped = time.monotonic()
            await producer.send_and_wait(topic, b"y", b"k")
        found = await until("no member, two records", lambda: row(members=0, behind=2))
        assert time.monotonic() - stopped < 10
        configure(worker_pages=f"lag_exporter=127.0.0.1:{one.port}")
        seen = await worker_pages.lag(10, group)
        assert seen["groups"][0]["behind"] == 2 and len(seen["times"]) <= 10
        (process,) = await worker_pages.workers()
        assert (process["name"], process["state"]) == ("lag_exporter", "ready")
        (now,) = found["groups"]
        assert now["topic"] == topic and 0 < now["seconds"] < 60
        assert found["known_since"] == before["known_since"] <= before["at"] < found["at"]
        assert len(json.loads((await asyncio.to_thread(one.page, "/lag"))[1])["groups"]) == len(
            groups_of()
        )
    assert settings().http_host == "127.0.0.1"
    async with running(alone, tmp_path, LAG_EXPORTER, sweep_seconds=5) as (one,):
        again = await until("the restarted exporter", lambda: row(members=0, behind=2))
        assert again["known_since"] >= again["started_at"] > found["at"]
        assert len(again["times"]) <= 2
