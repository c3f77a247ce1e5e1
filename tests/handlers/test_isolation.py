"""Isolation of the tests: each has its own database and topics; a role writes only its schema."""

from collections.abc import Sequence

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.acls import ADMIN
from shared.broker.security import access_from
from shared.broker.topics import all_topics, dead_letter_topic, full_name
from shared.consumer.processing import Subscription
from shared.consumer.records import Applied, Received, reader
from shared.events.ats import TimesheetApproved
from shared.events.registry import DeadLetterRecorded
from shared.settings import settings
from tests.builders import record
from tests.conftest import EngineOf, UnitOfWorkFor, process
from tests.kafka_users import as_user


@pytest.mark.parametrize("attempt", [1, 2])
async def test_each_test_has_an_empty_database(engine_of: EngineOf, attempt: int) -> None:
    """No test sees what another test wrote."""
    async with engine_of("scheduler").begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM scheduler.watermark")) == 0
        await connection.execute(
            text(
                "INSERT INTO scheduler.watermark VALUES ('acme', '2026-01-01', '2026-01-02', now())"
            )
        )


@pytest.mark.parametrize(
    "service", ["fee_realizer", "scheduler", "invoicer", "arg_sync", "console"]
)
async def test_a_service_writes_its_own_schema_only(engine_of: EngineOf, service: str) -> None:
    """A table has one writer: the service that owns its schema."""
    for schema in {"fee_realizer", "scheduler", "invoicer", "arg_sync"} - {service}:
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with engine_of(service).begin() as connection:
                await connection.execute(text(f"INSERT INTO {schema}.outbox VALUES ('x', 'y')"))


async def test_each_test_has_topics_of_its_own(stack: dict[str, str]) -> None:
    """A worker with this environment consumes only this test's topics."""
    admin = AIOKafkaAdminClient(**access_from(as_user(stack, ADMIN)).client_options())
    await admin.start()
    try:
        there = await admin.list_topics()
    finally:
        await admin.close()
    assert {full_name(topic.name) for topic in all_topics()} <= set(there)
    worker, test = make_url(stack["BACKOFFICE_DATABASE_URL"]), make_url(settings().database_url)
    assert (worker.host, worker.port, worker.database) == (test.host, test.port, test.database)


async def test_a_published_dead_letter_conforms_to_its_schema(
    unit_of_work_for: UnitOfWorkFor,
) -> None:
    """It has ids and reason, no value of the record.

    It is published once, however often the record is consumed.
    """

    async def none(
        connection: AsyncConnection, received: Sequence[Received[TimesheetApproved]]
    ) -> Applied:
        return Applied()

    unit_of_work = unit_of_work_for("fee_realizer")
    subscription = Subscription(
        "timesheet-approved", reader(TimesheetApproved), none, TimesheetApproved
    )
    for _ in range(2):
        await process(
            unit_of_work, subscription, [record("timesheet-approved", b'{"secret": 1}', offset=7)]
        )
    (said,) = unit_of_work.producer.published  # type: ignore[attr-defined]
    dead_letter = DeadLetterRecorded.model_validate_json(said.value)
    assert said.topic == dead_letter_topic("timesheet-approved", "fee_realizer")
    assert (dead_letter.topic, dead_letter.offset, dead_letter.code) == (
        "timesheet-approved",
        7,
        "missing_field",
    )
    assert b"secret" not in said.value
