"""The console speaks to the services over a real Kafka, as any operator's program may."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaConsumer

from services.console.actions.kafka_client import Client
from services.console.addresses import find_addresses
from shared.broker.producer import OutgoingMessage, Producer
from shared.broker.security import KafkaAccess, kafka_access
from shared.broker.topics import full_name
from shared.errors import Refused, Unavailable
from shared.events.billing import CommandResult
from tests import builders
from tests.conftest import Configure


async def read(topic: str, number: int) -> list[Any]:
    """The first records of a topic, all partitions, by offset."""
    consumer = AIOKafkaConsumer(
        full_name(topic),
        **kafka_access().client_options(),
        auto_offset_reset="earliest",
        group_id=None,
    )
    await consumer.start()
    try:
        return [await asyncio.wait_for(consumer.getone(), 10) for _ in range(number)]
    finally:
        await consumer.stop()


async def answer_everything(number: int) -> None:
    """Acts as the services: publishes a result of each command it reads, the last one first."""
    commands = [json.loads(record.value) for record in await read("operator-commands", number)]
    async with Producer("/test") as producer:
        for body in reversed(commands):
            result = CommandResult(
                command_id=body["command_id"],
                command=body["command"],
                service="invoicer",
                outcome="accepted",
                message=body["actor"],
            )
            await producer.publish(
                [
                    OutgoingMessage(
                        "command-results",
                        result.command_id,
                        result.model_dump_json().encode(),
                        result.command_id,
                    )
                ]
            )


@pytest.mark.usefixtures("topics")
async def test_a_result_belongs_to_its_command() -> None:
    """Several commands at once: each gets its own result, in the order in which they were
    asked, whatever the order of the answers.
    """
    commands = [
        builders.command("health-check", billing_company=f"c{number}", actor=f"actor-{number}")
        for number in range(5)
    ]
    async with Client(kafka_access()) as client:
        answering = asyncio.create_task(answer_everything(5))
        results = await client.send_all(commands, 30)
        await answering
    assert [result.message for result in results] == [f"actor-{number}" for number in range(5)]


@pytest.mark.usefixtures("topics")
async def test_without_a_result_the_message_names_the_service() -> None:
    """No result comes in time: the message names the service and where to look, and the
    command's id.
    """
    command = builders.command("health-check", billing_company="acme-us")
    async with Client(kafka_access()) as client:
        with pytest.raises(Unavailable) as caught:
            await client.send(command, 0.5)
    assert "from invoicer within" in caught.value.message
    assert "backoffice lag" in caught.value.message
    assert command.command_id in caught.value.message


@pytest.mark.usefixtures("topics")
async def test_publishing_keeps_key_value_and_order() -> None:
    """A record is on the topic byte for byte, a bad line too; of one key in the
    order in which it was given.
    """
    progress: list[int] = []
    records = [("T-1", f"{number}".encode()) for number in range(50)] + [
        ("T-2", b'{"cut": '),
        ("N-1", None),
    ]
    async with Client(kafka_access()) as client:
        assert await client.publish("timesheet-approved", records, progress.append) == 52
        with pytest.raises(Refused, match="too_large"):
            await client.publish("timesheet-approved", [("T-3", b"x" * 1_100_000)])
    assert progress[-1] == 52
    found = await read("timesheet-approved", 52)
    assert [record.value for record in found if record.key == b"T-1"] == [
        f"{number}".encode() for number in range(50)
    ]
    assert {record.key: record.value for record in found if record.key != b"T-1"} == {
        b"T-2": b'{"cut": ',
        b"N-1": None,
    }


@pytest.mark.usefixtures("topics")
async def test_an_unreachable_kafka_is_unavailable() -> None:
    """No broker at the address: a message with the address, not a traceback."""
    async with Client(KafkaAccess(bootstrap="127.0.0.1:9")) as client:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 does not answer"):
            await client.publish("timesheet-approved", [("a", b"{}")])


def test_addresses_come_from_the_settings_else_from_the_running_stack(
    tmp_path: Path, configure: Configure
) -> None:
    """Settings first; a folder that is named wins; a state file whose process is gone counts for
    nothing.
    """
    configure(
        kafka="given:1", database_url="postgresql+asyncpg://given/db", data=str(tmp_path / "none")
    )
    assert find_addresses().kafka.bootstrap == "given:1"
    configure(kafka="", database_url="")
    with pytest.raises(Unavailable, match="backoffice up --detach"):
        find_addresses()
    own = psutil.Process(os.getpid())
    state = {
        "phase": "ready",
        "kafka": "own:2",
        "database_url": "postgresql+asyncpg://own/db",
        "supervisor": {"pid": own.pid, "started": own.create_time()},
    }
    (tmp_path / "stack.json").write_text(json.dumps(state))
    assert find_addresses(tmp_path).kafka.bootstrap == "own:2"
    configure(kafka="given:1")
    assert find_addresses(tmp_path).kafka.bootstrap == "own:2"
    (tmp_path / "stack.json").write_text(
        json.dumps(state | {"supervisor": {"pid": own.pid, "started": own.create_time() - 100}})
    )
    with pytest.raises(Unavailable, match="no stack runs"):
        find_addresses(tmp_path)
