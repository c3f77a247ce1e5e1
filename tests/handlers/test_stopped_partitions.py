"""Record batches that cannot be decoded, bombs, codecs and pauses, on a real Kafka."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from sqlalchemy import text
from typer.testing import CliRunner

from services.console.actions.kafka_client import Client
from services.console.cli import application
from shared.broker.producer import partition_of
from shared.broker.security import kafka_access
from shared.broker.topics import OPERATOR_COMMANDS, full_name
from shared.consumer import unpacking
from shared.consumer.application import WorkerApplication
from shared.consumer.unpacking import KEPT_BYTES
from shared.events.commands import ResumeConsumer, SkipRecords
from shared.settings import settings
from tests import builders
from tests.conftest import Configure, EngineOf
from tests.handlers.sample_worker import (
    all_kept,
    committed,
    has_said,
    kept,
    names,
    publish,
    until,
    working,
)
from tests.sample_service import SERVICE, TOPIC, SampleService, sample

LETTERS = f"{TOPIC}.{SERVICE}.dead-letter"
CODECS = ("gzip", "snappy", "lz4", "zstd")
BOMB_BYTES = 100_000_000
LIMIT_BYTES = 2 << 20


async def send(codec: str | None, *values: bytes, number: int = 0, topic: str = TOPIC) -> None:
    """Sends records as one batch of one partition, compressed."""
    async with AIOKafkaProducer(
        **kafka_access().client_options(),
        compression_type=codec,
        max_batch_size=2 * BOMB_BYTES,
        max_request_size=2 * BOMB_BYTES,
    ) as producer:
        batch = producer.create_batch()
        for value in values:
            assert batch.append(key=b"k", value=value, timestamp=None) is not None
        batch.close()
        await (await producer.send_batch(batch, full_name(topic), partition=number))


async def row(engine_of: EngineOf, query: str) -> Any:
    """The only row of a query, or None."""
    async with engine_of("owner").connect() as connection:
        return (await connection.execute(text(query))).one_or_none()


def holds(check: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    """A condition that needs no waiting."""

    async def ask() -> bool:
        return check()

    return ask


async def answered(command: Any) -> None:
    """Sends a command on a partition of its own and waits for its result."""
    body = command.model_dump_json().encode()
    await publish(body, topic=OPERATOR_COMMANDS.name, partition=1)
    await until("the answer", partial(has_said, command.command_id, topic="command-results"))


async def typed(*words: str) -> Any:
    """What a command of the command line prints as JSON; it must succeed."""
    run = partial(CliRunner().invoke, application(), [*words, "--json"])
    result = await asyncio.to_thread(run)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def test_every_codec_is_read_beside_its_neighbours(
    sample_setup: dict[str, str], engine_of: EngineOf
) -> None:
    """Each codec, between plain records of the same partition and beside another partition, on
    the topic of samples and on that of commands.
    """
    for codec in CODECS:
        await send(None, sample(f"before-{codec}"))
        await send(codec, sample(f"{codec}-1"), sample(f"{codec}-2"))
        await send(None, sample(f"other-{codec}"), number=1)
        command = builders.command(
            "set-catalog-item",
            command_id=codec,
            item_id=f"item-{codec}",
            name=codec,
            percent_of_salary="20",
        )
        await send(codec, command.model_dump_json().encode(), topic=OPERATOR_COMMANDS.name)
    await send(None, sample("last"))
    async with working(SampleService()):
        await until("all samples", all_kept(engine_of, 4 * 5 + 1))
        await until("the answers", partial(has_said, *CODECS, topic="command-results"))
    assert {name for name in await kept(engine_of) if name.startswith("item")} == {
        f"item-{codec}" for codec in CODECS
    }


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
async def test_a_bomb_becomes_a_small_dead_letter(
    sample_setup: dict[str, str], engine_of: EngineOf, codec: str
) -> None:
    """A record of 100 MB whose bulk is an unknown field goes into a batch that the broker takes.

    It becomes a dead letter of 64 kB that tells length and SHA-256 of the whole; the records of the
    same batch go through.
    """
    bomb = b'{"sample_id": "b", "unknown": "%s"}' % (b"x" * BOMB_BYTES)
    await send(codec, sample("a"), bomb, sample("c"))
    async with working(SampleService()):
        await until("the neighbours", all_kept(engine_of, 2))
        await until("the offset", lambda: _equals(committed, {0: 3}))
    found = await row(
        engine_of,
        "SELECT code, length(record_value) AS kept, value_length, value_sha256, message"
        " FROM fee_realizer.dead_letter",
    )
    assert (found.code, found.kept, found.value_length) == ("too_large", KEPT_BYTES, len(bomb))
    assert found.value_sha256 == hashlib.sha256(bomb).digest()
    assert f"{len(bomb):,}" in found.message


async def _equals(find: Callable[[], Awaitable[Any]], wanted: Any) -> bool:
    return bool(await find() == wanted)


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a record batch may unpack to is little, so that the test is quick."""
    monkeypatch.setattr(unpacking, "MAX_UNPACKED_BYTES", LIMIT_BYTES)


async def stop_at_undecodable(app: WorkerApplication) -> None:
    """Sends a batch of two records that unpacks to too much, with neighbours, and waits."""
    await send(None, sample("a"))
    await send("zstd", b"x" * LIMIT_BYTES, b"y")
    await send(None, sample("b"))
    await send(None, sample("c"), number=1)
    name = f"partition 0 of {TOPIC}"
    await until("the stop", holds(lambda: name in app.worker.progress.paused))


async def test_what_cannot_be_decoded_stops_its_partition_and_is_passed_by_command(
    sample_setup: dict[str, str],
    engine_of: EngineOf,
    small_limit: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The other partition is read on. The place and the reason are logged, shown by `/readyz`, in
    the metrics and in the table that the console reads; a command that gives a reason passes it.
    """
    async with working(SampleService()) as (app, _):
        await stop_at_undecodable(app)
        await until("the neighbours", all_kept(engine_of, 2))
        ready, why = app.worker.progress.ready()
        assert not ready
        assert f"partition 0 of {TOPIC} is paused: the record batch at offset 1" in why
        assert f"consumers skip {TOPIC} 0 --to 3 --service {SERVICE}" in why
        await until("the row", lambda: _is_stored(engine_of))
        assert await committed() == {0: 1, 1: 1}
        for to_offset, reason in ((3, ""), (2, "a bomb")):
            await answered(skip(f"s{to_offset}", to_offset, reason))
        assert not app.worker.progress.ready()[0], "both are refused"
        for shown in (
            (await typed("lag"))["stopped"],
            (await typed("consumers", "list"))["stopped"],
        ):
            assert [(one["topic"], one["partition"], one["offset"]) for one in shown] == [
                (TOPIC, 0, 1)
            ]
        await typed("consumers", "skip", TOPIC, "0", "--reason", "a bomb")
        await until("what follows", all_kept(engine_of, 3))
        await until("the offset", lambda: _equals(committed, {0: 4, 1: 1}))
        await until("ready", holds(lambda: app.worker.progress.ready()[0]))
    assert await row(engine_of, "SELECT * FROM fee_realizer.stopped_partition") is None
    kept_command = await row(
        engine_of,
        "SELECT reason, before, after, subjects FROM fee_realizer.command"
        " WHERE outcome = 'accepted'",
    )
    assert (kept_command.reason, kept_command.before, kept_command.after) == (
        "a bomb",
        {"0": 1},
        {"0": 3},
    )
    log = capsys.readouterr()
    assert "cannot be decoded" in log.out + log.err


@pytest.mark.usefixtures("topics")
async def test_the_command_to_skip_records_does_not_lie_behind_them() -> None:
    """A command about a partition of `operator-commands` goes to another partition of it."""
    async with Client(kafka_access()) as client:
        for partition in (0, 1):
            about = skip("s", 3, "a bomb", OPERATOR_COMMANDS.name, partition)
            key = await client._key(about)
            assert partition_of(key.encode(), settings().partitions) != partition


def skip(
    command_id: str, to_offset: int, reason: str, topic: str = TOPIC, partition: int = 0
) -> SkipRecords:
    """A command that passes over records of a partition."""
    return SkipRecords(
        command_id=command_id,
        actor="jo",
        reason=reason,
        service=SERVICE,
        topic=topic,
        partition=partition,
        to_offset=to_offset,
    )


async def _is_stored(engine_of: EngineOf) -> bool:
    found = await row(
        engine_of,
        "SELECT partition_no, record_offset, following_offset, code, message"
        " FROM fee_realizer.console_stopped_partition",
    )
    return found is not None and found[:4] == (0, 1, 3, "undecodable") and "MiB" in found.message


async def test_a_pause_ends_when_only_good_records_come(
    sample_setup: dict[str, str], engine_of: EngineOf, configure: Configure
) -> None:
    """While unreadable records still arrive the consumer stays paused.

    When none came between two looks and the newest can be read, the unreadable ones become
    dead letters and reading goes on by itself.
    """
    configure(max_batch_records=20, bad_records_limit=15, bad_records_probe_seconds=1.5)
    async with working(SampleService()) as (app, _):
        await publish(*[b"{"] * 20)
        await until("the pause", holds(lambda: TOPIC in app.worker.progress.paused))
        await asyncio.sleep(4)
        assert TOPIC in app.worker.progress.paused, "nothing good came"
        await publish(*(sample(name) for name in names(3)))
        await until("the good ones", all_kept(engine_of, 3), 10)
        await until("the offset", lambda: _equals(committed, {0: 23}))
        assert app.worker.progress.ready()[0]
    assert (await row(engine_of, "SELECT count(*) FROM fee_realizer.dead_letter"))[0] == 20


async def test_a_pause_ends_by_command(
    sample_setup: dict[str, str], engine_of: EngineOf, configure: Configure
) -> None:
    """The command reads on at once; unreadable records that are there become dead letters, and the
    limit holds for later ones.
    """
    configure(max_batch_records=20, bad_records_limit=15)
    async with working(SampleService()) as (app, _):
        await publish(*[b"{"] * 20)
        await until("the pause", holds(lambda: TOPIC in app.worker.progress.paused))
        await until("the row", lambda: _is_paused(engine_of))
        await answered(
            ResumeConsumer(command_id="r", actor="jo", reason="known", service=SERVICE, topic=TOPIC)
        )
        await until("the offset", lambda: _equals(committed, {0: 20}))
        assert app.worker.progress.ready()[0]
        await publish(*[b"{"] * 20)
        await until("the next pause", holds(lambda: TOPIC in app.worker.progress.paused))
    assert (await row(engine_of, "SELECT count(*) FROM fee_realizer.dead_letter"))[0] == 20


async def _is_paused(engine_of: EngineOf) -> bool:
    found = await row(engine_of, "SELECT min(code) FROM fee_realizer.stopped_partition")
    return bool(found[0] == "too_many_unreadable")


async def test_added_partitions_are_read_soon(
    sample_setup: dict[str, str], engine_of: EngineOf
) -> None:
    """A partition that is added while the worker runs is read within 30 s."""
    async with working(SampleService()) as (app, _):
        await until("ready", holds(lambda: "sweep" in app.worker.progress.last))
        admin = AIOKafkaAdminClient(**kafka_access().client_options())
        await admin.start()
        await admin.create_partitions({full_name(TOPIC): NewPartitions(3)})
        await admin.close()
        await send(None, sample("a"), number=2)
        await until("the sample", all_kept(engine_of, 1), 30)
