"""The fee_realizer process publishes realizations of what it consumes, also after kill -9."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer

from shared.broker.producer import OutgoingMessage, Producer
from shared.broker.security import kafka_access
from shared.broker.topics import full_name
from shared.events.realizations import PayLinesRealized
from tests.builders import COMPANY, command, record, requirement, timesheet
from tests.kafka_users import as_user
from tests.running import starts_of

PATIENCE_SECONDS = 60
COUNT = 30


@contextlib.asynccontextmanager
async def worker(
    stack: dict[str, str], how: str, **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A fee_realizer process; asked to stop at the end if it still runs."""
    environment = (
        as_user(stack, "fee_realizer")
        | {"BACKOFFICE_SWEEP_SECONDS": "0.3"}
        | {f"BACKOFFICE_{name.upper()}": value for name, value in more.items()}
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *starts_of("fee_realizer")[how],
        env=environment,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)


async def publish() -> None:
    """Publish timesheets before their requirement, and that before its billing company."""
    records = [
        record("timesheet-approved", timesheet(f"T-{at}"), key=f"T-{at}") for at in range(COUNT)
    ]
    records.append(record("requirement-changed", requirement(), key="REQ-1"))
    records.append(
        record(
            "operator-commands",
            command("set-billing-company", billing_company=COMPANY),
            key=COMPANY,
        )
    )
    async with Producer("/test") as producer:
        await producer.publish(
            [
                OutgoingMessage(
                    one.topic, (one.key or b"").decode(), one.value or b"", str(one.offset)
                )
                for one in records
            ]
        )


async def realized() -> dict[str, PayLinesRealized]:
    """Return the latest realization of each document, when all have one."""
    latest: dict[str, PayLinesRealized] = {}
    async with AIOKafkaConsumer(
        full_name("pay-lines-realized"),
        **kafka_access().client_options(),
        auto_offset_reset="earliest",
    ) as consumer:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(latest) < COUNT:
                event = PayLinesRealized.model_validate_json((await consumer.getone()).value)
                latest[event.document_id] = event
    return latest


@pytest.mark.parametrize(
    ("how", "point"),
    [
        ("python -m", "inside_transaction:3"),
        ("python -m", "after_commit:2"),
        ("faststream run", "after_commit:2"),
    ],
)
async def test_killed_at_a_named_point(stack: dict[str, str], how: str, point: str) -> None:
    """kill -9 inside and after a transaction: the next worker publishes every realization once."""
    await publish()
    async with worker(stack, how, crash=point) as killed:
        assert await asyncio.wait_for(killed.wait(), PATIENCE_SECONDS) == -signal.SIGKILL
    async with worker(stack, how) as process:
        found = await realized()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    assert {
        (one.realization_no, one.realization_kind, *(str(line.amount) for line in one.lines))
        for one in found.values()
    } == {(1, "realized", "2000")}
