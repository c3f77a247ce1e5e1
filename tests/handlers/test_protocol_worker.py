"""A real worker on a real Kafka and PostgreSQL: offsets, an infrastructure that is unavailable,
unexpected errors, unreadable records, pending messages.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from faststream.middlewares import AckPolicy
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.producer import partition_of
from shared.broker.topics import full_name
from shared.consumer.application import build_app
from shared.consumer.records import Received
from shared.consumer.tables import KEY_LENGTH
from shared.settings import settings
from tests.conftest import Configure, EngineOf
from tests.handlers.sample_worker import (
    HOLDING_A_NAME,
    PATIENCE_SECONDS,
    all_kept,
    committed,
    has_said,
    holds_a_name,
    kept,
    names,
    publish,
    said,
    take_at_most,
    until,
    working,
)
from tests.running import Pauses, Running, start
from tests.sample_service import (
    PUBLISHED,
    SERVICE,
    TOPIC,
    Sample,
    SampleService,
    sample,
)

DEAD_LETTERS = f"{TOPIC}.{SERVICE}.dead-letter"
ROOT = Path(__file__).parents[2]
STARTS = [
    pytest.param(("tests.sample_service",), id="python -m"),
    pytest.param(("faststream", "run", "tests.sample_service:app"), id="faststream run"),
]
"""The two commands that start a worker; both run the same application object."""


async def test_offsets_of_exactly_this_batch(
    sample_setup: dict[str, str], engine_of: EngineOf, configure: Configure
) -> None:
    """What was read ahead is not committed: in each transaction the committed offset is where
    this batch begins, or an earlier one, for the offsets of a batch are committed while the
    next one is worked on; never is it within or beyond the batch.
    """
    configure(max_batch_records=10)
    seen: list[tuple[int, int]] = []

    async def look(connection: AsyncConnection, received: Sequence[Received[Sample]]) -> None:
        seen.append((received[0].record.offset, (await committed()).get(0, 0)))

    await publish(*(sample(name) for name in names(35)))
    async with working(SampleService(look)):
        await until("35 samples", all_kept(engine_of, 35))
        await until("the last offset", lambda: _equals(committed, {0: 35}))
    assert [first for first, _ in seen] == [0, 10, 20, 30]
    assert all(offset <= first and offset % 10 == 0 for first, offset in seen)
    assert await kept(engine_of) == names(35)
    assert sorted(await said()) == [name.encode() for name in names(35)]


async def _equals(find: Callable[[], Awaitable[Any]], wanted: Any) -> bool:
    return bool(await find() == wanted)


async def test_while_the_database_is_unavailable_order_is_kept_and_nothing_skipped(
    sample_setup: dict[str, str], engine_of: EngineOf, configure: Configure
) -> None:
    """PostgreSQL ends the connection inside the transaction, three times: the worker goes back
    to the first record of the batch each time.
    """
    configure(max_batch_records=10)
    gone: list[int] = []

    async def end_own_connection(
        connection: AsyncConnection, received: Sequence[Received[Sample]]
    ) -> None:
        if received[0].record.offset == 10 and len(gone) < 3:
            gone.append(await connection.scalar(text("SELECT pg_backend_pid()")) or 0)
            async with engine_of("owner").begin() as other:
                await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": gone[-1]})

    sample_service = SampleService(end_own_connection)
    await publish(*(sample(name) for name in names(30)))
    async with working(sample_service) as (_, task):
        await until("30 samples", all_kept(engine_of, 30))
        assert not task.done()
    assert len(gone) == 3
    assert await kept(engine_of) == names(30)
    assert sample_service.tries.count(names(20)[10:]) == 4
    assert sorted(await said()) == [name.encode() for name in names(30)]


async def test_too_many_bad_records_pause_the_consumer(
    sample_setup: dict[str, str], engine_of: EngineOf, configure: Configure, tmp_path: Path
) -> None:
    """Over the limit the consumer pauses and says so, nothing past it is committed; with a
    higher limit a new start goes on from there.
    """
    configure(max_batch_records=20, bad_records_limit=15)
    await publish(*(sample(name) for name in names(20)))
    async with working(SampleService()) as (app, task):
        await until("the good ones", all_kept(engine_of, 20))
        await publish(*[b"{"] * 20, *(sample(name) for name in names(5, "u")))
        await until("the pause", lambda: _holds(lambda: TOPIC in app.worker.progress.paused))
        ready, message = app.worker.progress.ready()
        assert not ready
        assert "BACKOFFICE_BAD_RECORDS_LIMIT" in message
        await asyncio.sleep(1)
        assert not task.done()
        assert await committed() == {0: 20}
        assert await said(DEAD_LETTERS) == []
        assert len(await kept(engine_of)) == 20
    configure(bad_records_limit=100)
    async with working(SampleService()) as (app, _):
        await until("those behind the bad ones", all_kept(engine_of, 25))
        await until("the last offset", lambda: _equals(committed, {0: 45}))
        assert app.worker.progress.ready()[0]
    assert len(await said(DEAD_LETTERS)) == 20
    assert await kept(engine_of) == [*names(20), *names(5, "u")]


async def _holds(check: Callable[[], bool]) -> bool:
    return check()


async def test_the_outbox_is_published_at_start(
    sample_setup: dict[str, str], engine_of: EngineOf
) -> None:
    """A worker that died between commit and publish left ids behind: its successor says them
    before it reads anything.
    """
    await _leave_unsaid(engine_of, *names(3))
    async with working(SampleService()):
        await until("said at start", lambda: _said_are(names(3)))
        await until("forgotten", lambda: _unsaid_is_empty(engine_of))
        await asyncio.sleep(2 * settings().sweep_seconds)
    assert sorted(await said()) == [name.encode() for name in names(3)], "once"


async def test_the_outbox_is_published_by_the_sweep(
    sample_setup: dict[str, str], engine_of: EngineOf
) -> None:
    """What another replica left behind while this one runs is said by the slow sweep, once it
    was seen twice.
    """
    async with working(SampleService()) as (app, _):
        await until("ready", lambda: _holds(lambda: "sweep" in app.worker.progress.last))
        await _leave_unsaid(engine_of, *names(3))
        await until("said by the sweep", lambda: _said_are(names(3)))
        await until("forgotten", lambda: _unsaid_is_empty(engine_of))


async def _leave_unsaid(engine_of: EngineOf, *ids: str) -> None:
    async with engine_of("owner").begin() as connection:
        for sample_id in ids:
            await connection.execute(
                text(
                    "INSERT INTO fee_realizer.sample (sample_id, hours, body) VALUES (:id, 1, '{}')"
                ),
                {"id": sample_id},
            )
            await connection.execute(
                text("INSERT INTO fee_realizer.outbox VALUES ('sample', :id)"), {"id": sample_id}
            )


async def _said_are(ids: list[str]) -> bool:
    return sorted(await said()) == [sample_id.encode() for sample_id in ids]


async def _unsaid_is_empty(engine_of: EngineOf) -> bool:
    async with engine_of("owner").connect() as connection:
        return bool(await connection.scalar(text("SELECT count(*) = 0 FROM fee_realizer.outbox")))


@pytest.mark.parametrize("command", STARTS)
async def test_an_unexpected_error_stops_the_worker_and_loses_nothing(
    sample_setup: dict[str, str], engine_of: EngineOf, command: tuple[str, ...]
) -> None:
    """An unexpected error outside a document's rule ends the process with code 3 and its log
    names the places; nothing is dead-lettered, committed or skipped.
    """
    await publish(*(sample(name) for name in names(5)), b"{")
    spoilt = await asyncio.to_thread(
        _sample_process, sample_setup | {"SAMPLE_DEFECT": "1"}, command
    )
    assert spoilt.returncode == 3
    assert (
        "unexpected error: the worker exits and is restarted; no message is lost" in spoilt.stderr
    )
    assert f"{TOPIC}-0@0" in spoilt.stderr
    assert await committed() == {}
    assert await kept(engine_of) == []
    assert await said(DEAD_LETTERS) == []
    async with working(SampleService()):
        await until("all read by the fixed one", all_kept(engine_of, 5))
    assert len(await said(DEAD_LETTERS)) == 1


def _sample_process(
    environment: dict[str, str], command: tuple[str, ...] = ("tests.sample_service",)
) -> "subprocess.CompletedProcess[str]":
    run = [sys.executable, "-m", *command]
    return subprocess.run(
        run,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@contextlib.asynccontextmanager
async def _sample_running(
    sample_setup: dict[str, str], folder: Path, command: tuple[str, ...], **settings_of_it: object
) -> AsyncIterator[Running]:
    """A sample worker as a process that is ready; killed at the end if it still runs."""
    worker = await start(
        SERVICE, os.environ | sample_setup, folder, "-m", *command, **settings_of_it
    )
    try:
        await until("ready", lambda: _holds(lambda: worker.page("/readyz")[0] == 200))
        yield worker
    finally:
        if worker.process.returncode is None:
            worker.process.kill()
            await worker.process.wait()


@pytest.mark.parametrize("command", STARTS)
async def test_a_signal_ends_the_worker_with_exit_0_after_the_batch_in_hand(
    sample_setup: dict[str, str], engine_of: EngineOf, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """SIGTERM inside a transaction: the batch is committed and published, its offset too, no
    other batch begins, and the exit code is 0.
    """
    pauses = Pauses(tmp_path)
    async with _sample_running(
        sample_setup, tmp_path, command, pause=tmp_path, max_batch_records=1
    ) as worker:
        pauses.hold("before_commit")
        pauses.hold("in_shutdown")
        await publish(sample("t0000"), sample("t0001"))
        await pauses.reached("before_commit")
        worker.process.send_signal(signal.SIGTERM)
        await pauses.reached("in_shutdown")
        pauses.release("before_commit")
        pauses.release("in_shutdown")
        await worker.stop()
    assert await kept(engine_of) == ["t0000"]
    assert await said() == [b"t0000"]
    assert await committed() == {0: 1}


@pytest.mark.parametrize("command", STARTS)
async def test_a_worker_that_is_killed_loses_nothing(
    sample_setup: dict[str, str], engine_of: EngineOf, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """SIGKILL between the commit and the publishing: the next process publishes what is left,
    and no message has its effect twice.
    """
    async with _sample_running(
        sample_setup, tmp_path, command, crash=f"after_commit@{TOPIC}"
    ) as worker:
        await publish(sample("t0000"), sample("t0001"))
        assert await asyncio.wait_for(worker.process.wait(), PATIENCE_SECONDS) == -signal.SIGKILL
    assert (await kept(engine_of), await said()) == (["t0000", "t0001"], [])
    async with _sample_running(sample_setup, tmp_path, command) as worker:
        await until("both are said", partial(has_said, "t0000", "t0001"))
        await until("the last offset", lambda: _equals(committed, {0: 2}))
        await worker.stop()
    assert sorted(await said()) == [b"t0000", b"t0001"]
    assert await kept(engine_of) == ["t0000", "t0001"]


@pytest.mark.parametrize("command", STARTS)
async def test_published_messages_are_counted(
    sample_setup: dict[str, str], engine_of: EngineOf, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Under the names of FastStream's own middleware, though another producer publishes; metrics
    and health are routes of the application.
    """
    async with _sample_running(sample_setup, tmp_path, command) as worker:
        await publish(sample("t0000"), sample("t0001"), b"{")
        wanted = [
            f'faststream_published_messages_total{{app_name="{SERVICE}",broker="kafka",destination="{full_name(topic)}",status="success"}}'
            f" {count}.0"
            for topic, count in ((PUBLISHED, 2), (DEAD_LETTERS, 1))
        ]
        await until(
            "the messages are counted",
            lambda: _holds(lambda: set(wanted) <= set(worker.page("/metrics")[1].splitlines())),
        )
        pages = {
            path: worker.page(path) for path in ("/livez", "/readyz", "/nowhere", "/asyncapi.json")
        }
        assert [status for status, _ in pages.values()] == [200, 200, 404, 200]
        assert PUBLISHED in json.loads(pages["/asyncapi.json"][1])["channels"]
        await worker.stop()


async def test_a_rebalance_during_the_stop_delays_no_member(
    sample_setup: dict[str, str], engine_of: EngineOf
) -> None:
    """A member joins while this worker stops: it gives its partitions up at once, and ends."""
    app = build_app(SampleService().service())
    task = asyncio.create_task(app.exit_code())
    await publish(sample("t0000"))
    await until("the sample is kept", all_kept(engine_of, 1))
    app.exit()
    for consumer in app.consumers:
        # what the coordinator's answer to a heartbeat does
        consumer.client._coordinator.request_rejoin()
    assert await asyncio.wait_for(task, 20) == 0


async def test_after_a_refused_message_a_worker_restarts(
    sample_setup: dict[str, str], engine_of: EngineOf
) -> None:
    """The brokers count what they get of a producer: refused once, it could never say anything
    on that partition again. So the worker ends, and its successor says what was left as soon
    as the brokers take it.
    """
    first, refused, later = [
        name for name in names(100) if partition_of(name.encode(), settings().partitions) == 0
    ][:3]
    task = asyncio.create_task(build_app(SampleService().service()).exit_code())
    await publish(sample(first))
    await until("the first is said", partial(has_said, first))
    await take_at_most(PUBLISHED, 100)
    await publish(sample(refused))
    assert await asyncio.wait_for(task, PATIENCE_SECONDS) == 3
    await take_at_most(PUBLISHED, 1_000_000)
    async with working(SampleService()):
        await publish(sample(later))
        await until("the refused and the later one are said", partial(has_said, refused, later))


async def test_a_replica_name_is_used_once(
    sample_setup: dict[str, str], engine_of: EngineOf
) -> None:
    """Two workers of one name would rejoin for ever: the second exits and says what to do, also
    after the database cut every connection.
    """
    async with working(SampleService()) as (app, _), engine_of("owner").connect() as connection:
        await until("ready", lambda: _holds(lambda: "sweep" in app.worker.progress.last))
        await connection.execute(text(f"SELECT pg_terminate_backend(pid, 9000) {HOLDING_A_NAME}"))
        await until("taken again", partial(holds_a_name, connection))
        second = await asyncio.to_thread(_sample_process, sample_setup)
    assert (second.returncode, "BACKOFFICE_REPLICA" in second.stderr) == (1, True)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("ce_id", None)], id="null"),
        pytest.param([("ce_id", b"\xff\xfe\x00")], id="not UTF-8"),
        pytest.param([("content-type", b"application/avro"), ("", b"")], id="misleading"),
        pytest.param(
            [("correlation_id", b"\xff"), ("reply_to", b"somewhere")], id="words of the framework"
        ),
        pytest.param([(f"h{at}", b"x" * 100) for at in range(500)], id="five hundred"),
    ],
)
async def test_a_header_has_no_effect(
    sample_setup: dict[str, str], engine_of: EngineOf, headers: list[tuple[str, bytes | None]]
) -> None:
    """Headers of input are optional and mean nothing: whatever they hold, the record has its
    effect, and so have its neighbours.
    """
    await publish(sample("a"))
    await publish(sample("b"), headers=headers)
    await publish(sample("c"))
    async with working(SampleService()):
        await until("all three", all_kept(engine_of, 3))
    assert await kept(engine_of) == ["a", "b", "c"]


ODD_NAME = """
import asyncio, sys
from aiokafka import AIOKafkaProducer
from shared.broker.security import kafka_access

class Odd(str):
    def encode(self, *how):
        return b"\\xff\\xfe"

async def main():
    producer = AIOKafkaProducer(
        **kafka_access().client_options(), compression_type=sys.argv[2] or None, linger_ms=50
    )
    await producer.start()
    values = [(f't{at}', [(Odd("x"), b"1")] if at == 1 else []) for at in range(3)]
    sent = []
    for name, odd in values:
        value = b'{"sample_id": "%s"}' % name.encode()
        sent.append(
            await producer.send(sys.argv[1], value, key=b"k", partition=0, headers=odd)
        )
    await asyncio.gather(*sent)
    await producer.stop()

asyncio.run(main())
"""
"""A program whose header names are not UTF-8, as those of a C client may be; the pure Python
half of the library can be made to send them.
"""


@pytest.mark.parametrize("compression", ["", "gzip"])
async def test_a_header_name_that_is_no_text_has_no_effect(
    sample_setup: dict[str, str], engine_of: EngineOf, compression: str
) -> None:
    """A header whose very name is not UTF-8 stops neither its record nor the neighbours in the
    same record batch.
    """
    run = [sys.executable, "-c", ODD_NAME, full_name(TOPIC), compression]
    await asyncio.to_thread(
        subprocess.run,
        run,
        env=os.environ | {"AIOKAFKA_NO_EXTENSIONS": "1"},
        check=True,
        timeout=60,
    )
    await publish(sample("t3"))
    async with working(SampleService()):
        await until("all four", all_kept(engine_of, 4))
        await until("the last offset", lambda: _equals(committed, {0: 4}))
    assert await kept(engine_of) == ["t0", "t1", "t2", "t3"]


async def test_a_consumer_that_does_not_read_is_not_ready(
    sample_setup: dict[str, str], engine_of: EngineOf, configure: Configure
) -> None:
    """Health is progress: a worker whose process is up but whose consumer leaves records lying
    is not ready; when it reads again it is.
    """
    configure(progress_limit_seconds=4.5)
    async with working(SampleService()) as (app, _):
        await publish(sample("a"))
        await until("the first one", all_kept(engine_of, 1))
        await asyncio.sleep(5.5)
        assert app.worker.progress.ready()[0], "idle is not stuck"
        consumer = app.consumers[0].client
        consumer.pause(*consumer.assignment())
        await asyncio.sleep(0.5)  # a fetch that was on its way is delivered
        await publish(sample("b"), sample("c"))
        await until(
            "not ready", lambda: _holds(lambda: not app.worker.progress.ready()[0]), within=25
        )
        assert TOPIC in app.worker.progress.ready()[1]
        consumer.resume(*consumer.assignment())
        await until("the others", all_kept(engine_of, 3))
        await until("ready again", lambda: _holds(lambda: app.worker.progress.ready()[0]))


async def test_the_dead_letter_of_a_very_long_key_is_published(
    sample_setup: dict[str, str], engine_of: EngineOf
) -> None:
    """An unreadable record may have a key that, as text, is longer than a message.

    Its dead letter is published all the same.
    """
    async with working(SampleService()):
        await publish(b"{bad", key=b"\xff" * 400_000)
        await until(
            "the dead letter is told of",
            partial(has_said, "\ufffd" * KEY_LENGTH, topic=DEAD_LETTERS),
            15,
        )


async def test_the_framework_acknowledges_nothing(sample_setup: dict[str, str]) -> None:
    """The framework acknowledges nothing by itself, on any subscriber, and new groups begin at
    the beginning.
    """
    (broker,) = build_app(SampleService().service()).brokers
    subscribers = list(broker.subscribers)
    assert len(subscribers) == 2
    for subscriber in subscribers:
        assert subscriber.ack_policy is AckPolicy.MANUAL
        assert subscriber._connection_args["auto_offset_reset"] == "earliest"  # type: ignore[attr-defined]
        assert subscriber._connection_args["enable_auto_commit"] is False  # type: ignore[attr-defined]
        assert subscriber._connection_args["isolation_level"] == "read_committed"  # type: ignore[attr-defined]
