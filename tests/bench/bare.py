"""The bare ways for ingest: reading alone, the fastest durable loop, one message a transaction.

All three read the same messages from the same topic as the workers and write to the same database.
The bare loop decodes the event, stores one keyed row for each message in a logged table, and
commits offsets after the rows; while one batch is written it decodes the next. It decodes in two
ways: with the event's model, which validates as workers must, and with msgspec and only the fields
of the row. Garbage collection is off, as in workers. The ORM way prices the timesheet and stores
document and line, like a service written without batches; it publishes nothing, so it does less.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.broker.security import kafka_access
from shared.broker.topics import TIMESHEET_APPROVED
from shared.events.ats import TimesheetApproved
from tests.bench.setup import Clock, Place, Took
from tests.conftest import as_superuser

RECORDS_AT_ONCE = 10_000
FETCH_BYTES = 8 * 1024 * 1024
ZERO = Decimal(0)


class Entry(msgspec.Struct):
    """A day of a timesheet."""

    requirement_id: str
    work_date: date
    time_type: str
    hours: Decimal


class Sheet(msgspec.Struct):
    """The fields of a timesheet that the bare ways read."""

    timesheet_id: str
    revision: int
    worker_id: str
    week_ending: date
    entries: list[Entry]


Decode = Callable[[bytes], Sheet | TimesheetApproved]
EVENT: Decode = TimesheetApproved.model_validate_json
FIELDS: Decode = msgspec.json.Decoder(Sheet).decode


@contextmanager
def _undisturbed() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@asynccontextmanager
async def _consumer(place: Place, group: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        place.topic(TIMESHEET_APPROVED.name),
        **kafka_access().client_options(),
        group_id=f"{place.name}.{group}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


@dataclass
class _Polled:
    sheets: list[Sheet | TimesheetApproved]
    offsets: dict[TopicPartition, int]


async def _poll(consumer: AIOKafkaConsumer, decode: Decode) -> _Polled:
    found = await consumer.getmany(timeout_ms=1000, max_records=RECORDS_AT_ONCE)
    sheets = [decode(record.value) for records in found.values() for record in records]
    return _Polled(
        sheets,
        {partition: records[-1].offset + 1 for partition, records in found.items() if records},
    )


async def read_alone(place: Place, clock: Clock, messages: int, decode: Decode) -> Took:
    """Consume and decode only."""
    with _undisturbed():
        async with _consumer(place, f"read-alone-{_name(decode)}") as consumer:
            first = await _poll(consumer, decode)
            while not first.sheets:
                first = await _poll(consumer, decode)
            began, seen = clock.now(), len(first.sheets)
            while seen < messages:
                seen += len((await _poll(consumer, decode)).sheets)
            return clock.took(seen, began)


def _name(decode: Decode) -> str:
    return "fields" if decode is FIELDS else "event"


KEYED_ROW_SQL = """
CREATE TABLE bare_{name} (
  timesheet_id text NOT NULL, revision bigint NOT NULL, hours numeric(12,4) NOT NULL,
  PRIMARY KEY (timesheet_id, revision))"""
KEEP_SQL = """
INSERT INTO bare_{name} SELECT * FROM unnest($1::text[], $2::bigint[], $3::numeric[])
    ON CONFLICT DO NOTHING"""


async def _keep(
    connection: asyncpg.Connection, sheets: Sequence[Sheet | TimesheetApproved], name: str
) -> None:
    """Insert all rows at once; only after a conflict each row is looked up by its key."""
    records = [
        (sheet.timesheet_id, sheet.revision, sum((entry.hours for entry in sheet.entries), ZERO))
        for sheet in sheets
    ]
    try:
        await connection.copy_records_to_table(f"bare_{name}", records=records)
    except asyncpg.UniqueViolationError:
        await connection.execute(
            KEEP_SQL.format(name=name), *(list(column) for column in zip(*records, strict=True))
        )


async def keyed_rows(place: Place, clock: Clock, messages: int, decode: Decode) -> Took:
    """The bare loop: once each, by key, in a logged table; offsets after the commit."""
    name = _name(decode)
    connection = await place.owner()
    await connection.execute(KEYED_ROW_SQL.format(name=name))
    try:
        with _undisturbed():
            async with _consumer(place, f"keyed-rows-{name}") as consumer:
                took = await _loop(connection, consumer, clock, messages, decode)
        kept = await connection.fetchval(f"SELECT count(*) FROM bare_{name}")
        if kept != messages:
            raise AssertionError(
                f"the bare loop kept {kept} rows of {messages} messages: its time counts for"
                " nothing"
            )
        return took
    finally:
        await connection.close()


async def _loop(
    connection: asyncpg.Connection,
    consumer: AIOKafkaConsumer,
    clock: Clock,
    messages: int,
    decode: Decode,
) -> Took:
    async def settle(polled: _Polled) -> None:
        await _keep(connection, polled.sheets, _name(decode))
        await consumer.commit(polled.offsets)

    polled = await _poll(consumer, decode)
    while not polled.sheets:
        polled = await _poll(consumer, decode)
    began, seen = clock.now(), len(polled.sheets)
    writing = asyncio.create_task(settle(polled))
    while seen < messages:
        polled = await _poll(consumer, decode)
        await writing
        seen += len(polled.sheets)
        if polled.sheets:
            writing = asyncio.create_task(settle(polled))
    await writing
    return clock.took(seen, began)


class Base(DeclarativeBase):
    """The tables of the ORM way."""


class OrmRate(Base):
    """A bill rate."""

    __tablename__ = "orm_rate"
    requirement_id: Mapped[str] = mapped_column(primary_key=True)
    time_type: Mapped[str] = mapped_column(primary_key=True)
    unit_price: Mapped[Decimal]


class OrmSheet(Base):
    """A timesheet."""

    __tablename__ = "orm_sheet"
    timesheet_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    worker_id: Mapped[str]
    body: Mapped[str]


class OrmLine(Base):
    """A priced line of a timesheet."""

    __tablename__ = "orm_line"
    timesheet_id: Mapped[str] = mapped_column(
        ForeignKey("orm_sheet.timesheet_id"), primary_key=True
    )
    requirement_id: Mapped[str] = mapped_column(primary_key=True)
    time_type: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[Decimal]
    amount: Mapped[Decimal]


async def one_by_one(place: Place, clock: Clock, messages: int, requirements: int) -> Took:
    """One message, one session, one transaction, one commit of its offset."""
    engine = create_async_engine(as_superuser(place.url))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with sessions() as session, session.begin():
        session.add_all(
            OrmRate(requirement_id=f"REQ-{at:05d}", time_type="REG", unit_price=Decimal("50.00"))
            for at in range(requirements)
        )
    try:
        async with _consumer(place, "one-by-one") as consumer:
            await consumer.getone()
            began = clock.now()
            for _ in range(messages):
                record = await consumer.getone()
                sheet = TimesheetApproved.model_validate_json(record.value)
                async with sessions() as session, session.begin():
                    if await session.get(OrmSheet, sheet.timesheet_id) is None:
                        await _price(session, sheet, record.value.decode())
                await consumer.commit(
                    {TopicPartition(record.topic, record.partition): record.offset + 1}
                )
            return clock.took(messages, began)
    finally:
        await engine.dispose()


async def _price(session: AsyncSession, sheet: TimesheetApproved, body: str) -> None:
    quantities: dict[tuple[str, str], Decimal] = {}
    for entry in sheet.entries:
        key = (entry.requirement_id, entry.time_type)
        quantities[key] = quantities.get(key, ZERO) + entry.hours
    session.add(
        OrmSheet(
            timesheet_id=sheet.timesheet_id,
            revision=sheet.revision,
            worker_id=sheet.worker_id,
            body=body,
        )
    )
    for key, quantity in quantities.items():
        rate = await session.get_one(OrmRate, key)
        amount = (quantity * rate.unit_price).quantize(Decimal("0.01"))
        session.add(
            OrmLine(
                timesheet_id=sheet.timesheet_id,
                requirement_id=key[0],
                time_type=key[1],
                quantity=quantity,
                amount=amount,
            )
        )
