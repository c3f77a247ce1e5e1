"""The scheduler process: kill -9 loses nothing, and its health page shows lag and progress."""

import asyncio
import contextlib
import signal
import socket
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import date

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from shared.broker.security import kafka_access
from shared.broker.topics import full_name
from tests.builders import COMPANY, product_line
from tests.conftest import EngineOf
from tests.fault_injection import RowInserter
from tests.kafka_users import as_user
from tests.running import starts_of

DUE = date(2026, 10, 1)
PATIENCE_SECONDS = 40


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def page(port: int, path: str) -> tuple[int, str]:
    """Return status and text of the worker's health page; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


async def within_patience(true: Callable[[], bool]) -> None:
    """Wait until it is true, or fail."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def scheduler(
    stack: dict[str, str], how: str = "python -m", **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a scheduler process; stop it at the end if it still runs."""
    given = {f"BACKOFFICE_{name.upper()}": value for name, value in more.items()}
    environment = (
        as_user(stack, "scheduler")
        | {
            "BACKOFFICE_TODAY": str(DUE),
            "BACKOFFICE_TICK_SECONDS": "0.2",
            "BACKOFFICE_SWEEP_SECONDS": "0.3",
        }
        | given
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *starts_of("scheduler")[how],
        env=environment,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)


async def announced(count: int) -> Counter[str]:
    """Count the keys on pay-line-due until `count` different ones are there.

    A repeat must have the same event id.
    """
    counts: Counter[str] = Counter()
    ids: dict[str, bytes] = {}

    def count_record(record: ConsumerRecord) -> None:
        key = record.key.decode()
        counts[key] += 1
        assert ids.setdefault(key, dict(record.headers)["ce_id"]) == dict(record.headers)["ce_id"]

    async with AIOKafkaConsumer(
        full_name("pay-line-due"), **kafka_access().client_options(), auto_offset_reset="earliest"
    ) as consumer:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(counts) < count:
                count_record(await consumer.getone())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while True:
                    count_record(await consumer.getone())
    return counts


async def insert_lines(engine_of: EngineOf, count: int) -> set[str]:
    """Insert a company with lines that fall due on the day."""
    async with engine_of("owner").begin() as connection:
        inserter = RowInserter(connection)
        await inserter.company()
        return {
            str(await inserter.pay_line(product_line("1.00", DUE), f"P-{at}", announce=True))
            for at in range(count)
        }


async def test_killed_inside_the_move_and_after_its_commit(
    stack: dict[str, str], engine_of: EngineOf
) -> None:
    """kill -9 before and after the commit of a move: the third scheduler announces every line."""
    lines = await insert_lines(engine_of, 20)
    for point in (
        "watermark_moved",
        "after_commit:2",
    ):  # the first commit is the start's own, before the clock is looked at
        async with scheduler(stack, crash=point) as killed:
            assert await asyncio.wait_for(killed.wait(), PATIENCE_SECONDS) == -signal.SIGKILL
        async with engine_of("owner").connect() as connection:
            assert await RowInserter(connection).run(
                "SELECT count(*) FROM scheduler.watermark"
            ) == (1 if point == "after_commit:2" else 0)
    async with scheduler(stack):
        assert set(await announced(20)) == lines


async def test_two_schedulers_at_once(stack: dict[str, str], engine_of: EngineOf) -> None:
    """Two replicas run at once: one moves the watermark; a repeat has the same event id."""
    lines = await insert_lines(engine_of, 20)
    async with scheduler(stack, replica="1"), scheduler(stack, replica="2"):
        assert set(await announced(20)) == lines
    async with engine_of("owner").connect() as connection:
        assert await RowInserter(connection).run("SELECT count(*) FROM scheduler.watermark") == 1


@pytest.mark.parametrize("how", starts_of("scheduler"))
async def test_the_health_page_shows_progress(
    stack: dict[str, str], engine_of: EngineOf, how: str
) -> None:
    """Ready when work flows, with the watermark as a metric. Exit 0 on SIGTERM."""
    await insert_lines(engine_of, 1)
    port = free_port()
    wanted = f'backoffice_watermark_behind_days{{billing_company="{COMPANY}"}} 0.0'
    async with scheduler(stack, how, http_port=str(port)) as process:
        await within_patience(lambda: page(port, "/readyz")[0] == 200)
        await within_patience(lambda: wanted in page(port, "/metrics")[1])
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
