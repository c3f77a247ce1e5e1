"""Messages of the benchmarks: requirements of one company, timesheets of five days, 679 bytes."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from typing import Any

from aiokafka import AIOKafkaProducer

from shared.broker.security import kafka_access
from shared.broker.topics import OPERATOR_COMMANDS, REQUIREMENT_CHANGED, full_name

COMPANY = "bench-us"
TIMESHEET_BYTES = 679
SAID_AT_ONCE = 2000
KeyedMessage = tuple[str, bytes]


def _bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def company() -> KeyedMessage:
    """The command that creates the billing company."""
    command = {
        "command": "set-billing-company",
        "command_id": "bench-company",
        "actor": "bench",
        "reason": "bench",
        "billing_company": COMPANY,
    }
    return COMPANY, _bytes(command)


def requirement(at: int) -> KeyedMessage:
    """A requirement that is Filled and Temp, with two bill rates."""
    requirement_id = f"REQ-{at:05d}"
    return requirement_id, _bytes(
        {
            "requirement_id": requirement_id,
            "revision": 1,
            "billing_company": COMPANY,
            "office_id": f"office-{at % 50:04d}",
            "job_title": "Registered Nurse",
            "currency": "USD",
            "statuses": [{"from_date": "2020-01-01", "status": "Filled", "position_type": "Temp"}],
            "rates": [
                {"time_type": kind, "effective_from": "2020-01-01", "bill_rate": rate}
                for kind, rate in (("REG", "50.00"), ("OT", "75.00"))
            ],
        }
    )


def timesheet(at: int, requirements: int) -> KeyedMessage:
    """A worker's week of five days; the approver's name, which no worker reads, fills the size."""
    timesheet_id = f"TS-{at:08d}"
    body: dict[str, Any] = {
        "timesheet_id": timesheet_id,
        "revision": 1,
        "worker_id": f"W-{at % 20_000:05d}",
        "week_ending": "2026-03-08",
        "workflow": {"submitted_at": "2026-03-09T08:00:00Z", "approved_at": "2026-03-09T12:00:00Z"},
        "entries": [
            {
                "requirement_id": f"REQ-{at % requirements:05d}",
                "work_date": f"2026-03-0{day}",
                "time_type": "REG",
                "hours": "8.00",
            }
            for day in range(2, 7)
        ],
        "approver": "",
    }
    body["approver"] = "x" * (TIMESHEET_BYTES - len(_bytes(body)))
    return timesheet_id, _bytes(body)


def timesheets(first: int, count: int, requirements: int) -> Iterator[KeyedMessage]:
    """Timesheets with numbers from `first` on."""
    return (timesheet(at, requirements) for at in range(first, first + count))


def producer(linger_ms: int = 5) -> AIOKafkaProducer:
    """A producer like that of an ATS."""
    return AIOKafkaProducer(
        **kafka_access().client_options(),
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        max_batch_size=512 * 1024,
    )


async def publish(topic: str, messages: Iterable[KeyedMessage]) -> int:
    """Publish, await every acknowledgement, and return the number."""
    said = 0
    async with producer() as sender:
        waiting: list[asyncio.Future[Any]] = []
        for key, value in messages:
            waiting.append(await sender.send(full_name(topic), value, key=key.encode()))
            if len(waiting) >= SAID_AT_ONCE:
                await asyncio.gather(*waiting)
                said, waiting = said + len(waiting), []
        await asyncio.gather(*waiting)
        return said + len(waiting)


async def publish_facts(requirements: int) -> None:
    """The billing company and its requirements."""
    await publish(OPERATOR_COMMANDS.name, [company()])
    await publish(REQUIREMENT_CHANGED.name, (requirement(at) for at in range(requirements)))
