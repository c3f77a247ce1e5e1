"""The transaction of the protocol on a real PostgreSQL: bad records, other workers, repeats."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.consumer import tables
from shared.consumer.processing import (
    CONFLICT_RETRIES,
    BadRecords,
    TooManyBadRecords,
    process_batch,
)
from shared.consumer.records import Received, Record
from shared.consumer.unit_of_work import UnitOfWork
from shared.database import rows
from tests.builders import record
from tests.conftest import EngineOf, nothing, process
from tests.sample_service import SERVICE, TOPIC, Sample, SampleService, sample

NUL_IN_A_FREE_FIELD = b'{"sample_id": "%s", "hours": "1", "free": "a\\u0000b"}'


def published(unit_of_work: UnitOfWork) -> list[tuple[str, str]]:
    """Topic and key of all published messages, in order."""
    return [(message.topic, message.key) for message in unit_of_work.producer.published]  # type: ignore[attr-defined]


async def kept(unit_of_work: UnitOfWork, columns: str = "sample_id") -> list[Any]:
    """The stored samples, in the order in which they were written."""
    async with unit_of_work.engine.connect() as connection:
        found = await rows(connection, f"SELECT {columns} FROM fee_realizer.sample ORDER BY place")
    return [row[0] if len(row) == 1 else tuple(row) for row in found]


async def dead_letters(unit_of_work: UnitOfWork) -> list[tuple[str, int]]:
    """Code and offset of the dead letters."""
    async with unit_of_work.engine.connect() as connection:
        return [
            tuple(row)
            for row in await rows(
                connection,
                f"SELECT code, record_offset FROM {SERVICE}.dead_letter ORDER BY dead_letter_id",
            )
        ]


async def outbox(unit_of_work: UnitOfWork) -> list[tuple[str, str]]:
    """The rows of the outbox."""
    async with unit_of_work.engine.connect() as connection:
        return await tables.outbox_entries(connection, SERVICE, 1000)


def samples(*ids: str, first: int = 0) -> list[Record]:
    """A record for each sample, on one partition."""
    return [record(TOPIC, sample(sample_id), offset=first + at) for at, sample_id in enumerate(ids)]


async def test_an_unreadable_record_and_its_neighbours_are_one_transaction(
    unit_of_work: UnitOfWork,
) -> None:
    """One transaction has both.

    The neighbours are processed in the transaction that stores the dead letter.
    """
    await process(
        unit_of_work,
        SampleService().subscription(),
        [*samples("a"), record(TOPIC, b"{", offset=1), *samples("b", first=2)],
    )
    (first, of_first), (second, of_second) = await kept(unit_of_work, "sample_id, transaction_id")
    async with unit_of_work.engine.connect() as connection:
        of_letter = await connection.scalar(
            text("SELECT CAST(CAST(xmin AS text) AS bigint) FROM fee_realizer.dead_letter")
        )
    assert [first, second] == ["a", "b"]
    assert of_first == of_second == of_letter
    assert await dead_letters(unit_of_work) == [("bad_json", 1)]
    assert published(unit_of_work) == [
        ("document-held", "a"),
        ("document-held", "b"),
        (f"{TOPIC}.{SERVICE}.dead-letter", "k"),
    ]


async def test_a_record_that_only_the_database_refuses_is_isolated(
    unit_of_work: UnitOfWork,
) -> None:
    """The batch is halved until it is alone.

    Every other one of a thousand records has its effect, in order.
    """
    batch = samples(*(f"t{at:04}" for at in range(1000)))
    for at in (17, 801):
        batch[at] = record(TOPIC, NUL_IN_A_FREE_FIELD % f"t{at:04}".encode(), offset=at)
    batch[500] = record(TOPIC, sample("t0500", "13"), offset=500)
    sample_service = SampleService()
    await process(unit_of_work, sample_service.subscription(), batch)
    assert await kept(unit_of_work) == [
        f"t{at:04}" for at in range(1000) if at not in (17, 500, 801)
    ]
    assert sorted(offset for _, offset in await dead_letters(unit_of_work)) == [17, 500, 801]
    assert len({code for code, _ in await dead_letters(unit_of_work)}) == 2
    assert len(sample_service.tries) <= 3 * 2 * 11, (
        "cutting in halves costs two transactions a halving"
    )


async def test_a_lone_refused_record_is_a_dead_letter(unit_of_work: UnitOfWork) -> None:
    """A batch of one refused record is not retried for ever."""
    sample_service = SampleService()
    await process(
        unit_of_work,
        sample_service.subscription(),
        [record(TOPIC, NUL_IN_A_FREE_FIELD % b"a", offset=4)],
    )
    assert (await dead_letters(unit_of_work))[0][1] == 4
    assert len(sample_service.tries) == 1


async def test_another_worker_in_the_way_is_tried_again(
    unit_of_work: UnitOfWork, engine_of: EngineOf
) -> None:
    """A concurrent commit costs one retry and no dead letter.

    A zombie commits the same sample between our read and our write.
    """

    async def zombie(connection: AsyncConnection, received: Sequence[Received[Sample]]) -> None:
        if len(sample_service.tries) == 1:
            async with engine_of("owner").begin() as other:
                await other.execute(
                    text(
                        "INSERT INTO fee_realizer.sample (sample_id, hours, body) VALUES ('b', 1,"
                        " '{}')"
                    )
                )

    sample_service = SampleService(zombie)
    await process(unit_of_work, sample_service.subscription(), samples("a", "b", "c"))
    assert sample_service.tries == [["a", "b", "c"]] * 2
    assert sorted(await kept(unit_of_work)) == ["a", "b", "c"]
    assert await dead_letters(unit_of_work) == []
    assert [key for _, key in published(unit_of_work)] == ["a", "c"], (
        "the zombie says what it wrote"
    )


async def test_a_repeated_key_conflict_is_an_unexpected_error(unit_of_work: UnitOfWork) -> None:
    """After five tries the worker stops."""

    async def twice(connection: AsyncConnection, received: Sequence[Received[Sample]]) -> None:
        await connection.execute(
            text("INSERT INTO fee_realizer.sample (sample_id, hours, body) VALUES ('a', 1, '{}')")
        )

    sample_service = SampleService(twice)
    with pytest.raises(IntegrityError):
        await process(unit_of_work, sample_service.subscription(), samples("a"))
    assert len(sample_service.tries) == CONFLICT_RETRIES
    assert await kept(unit_of_work) == []
    assert await dead_letters(unit_of_work) == []


async def test_a_repeat_changes_nothing_and_publishes_nothing(unit_of_work: UnitOfWork) -> None:
    """Repeated records change no table.

    Dead letters are among them.
    """
    batch = [
        *samples("a", "b"),
        record(TOPIC, b"[]", offset=2),
        record(TOPIC, sample("a", "2"), offset=3),
    ]
    await process(unit_of_work, SampleService().subscription(), batch)
    await unit_of_work.transact(nothing)
    said = published(unit_of_work)
    before = (
        await kept(unit_of_work, "sample_id, hours, transaction_id"),
        await dead_letters(unit_of_work),
    )
    await process(unit_of_work, SampleService().subscription(), batch)
    assert (
        await kept(unit_of_work, "sample_id, hours, transaction_id"),
        await dead_letters(unit_of_work),
    ) == before
    assert sorted(before[1]) == [("conflict", 3), ("not_an_object", 2)]
    assert published(unit_of_work) == said
    assert await outbox(unit_of_work) == []


async def test_the_same_offset_with_another_record_is_another_dead_letter(
    unit_of_work: UnitOfWork,
) -> None:
    """A recreated topic is no repeat.

    Its offsets begin at zero again.
    """
    await process(unit_of_work, SampleService().subscription(), [record(TOPIC, b"one", offset=0)])
    await process(unit_of_work, SampleService().subscription(), [record(TOPIC, b"two", offset=0)])
    assert await dead_letters(unit_of_work) == [("bad_json", 0), ("bad_json", 0)]


async def test_a_message_is_in_the_outbox_until_it_was_published(unit_of_work: UnitOfWork) -> None:
    """A later transaction deletes it.

    One that was never published is built again from its row.
    """
    await process(unit_of_work, SampleService().subscription(), samples("a"))
    assert await outbox(unit_of_work) == [("sample", "a")]
    await process(unit_of_work, SampleService().subscription(), samples("b", first=1))
    assert await outbox(unit_of_work) == [("sample", "b")]
    unit_of_work.published.clear()  # as a worker that starts anew: it does not know that b was said
    assert await unit_of_work.publish_pending(await outbox(unit_of_work)) == 1
    assert published(unit_of_work) == [
        ("document-held", "a"),
        ("document-held", "b"),
        ("document-held", "b"),
    ]
    await unit_of_work.transact(nothing)
    assert await outbox(unit_of_work) == []


async def test_outbox_rows_are_deleted_only_if_the_transaction_commits(
    unit_of_work: UnitOfWork,
) -> None:
    """A failed transaction deletes nothing.

    The next one deletes what it would have deleted.
    """

    async def fails(connection: AsyncConnection, received: Sequence[Received[Sample]]) -> None:
        raise ZeroDivisionError

    await process(unit_of_work, SampleService().subscription(), samples("a"))
    with pytest.raises(ZeroDivisionError):
        await process(unit_of_work, SampleService(fails).subscription(), samples("b", first=1))
    assert await outbox(unit_of_work) == [("sample", "a")]
    await unit_of_work.transact(nothing)
    assert await outbox(unit_of_work) == []


async def test_a_short_transaction_does_not_wait_for_a_long_one(unit_of_work: UnitOfWork) -> None:
    """Settling goes on while a batch is generated.

    Two subscriptions of one worker delete different outbox rows.
    """

    async def long(connection: AsyncConnection, received: Sequence[Received[Sample]]) -> None:
        await asyncio.wait_for(
            process(unit_of_work, SampleService().subscription(), samples("c", first=2)), timeout=5
        )

    await process(unit_of_work, SampleService().subscription(), samples("a"))
    await process(unit_of_work, SampleService(long).subscription(), samples("b", first=1))
    assert await kept(unit_of_work) == ["a", "c", "b"]
    await unit_of_work.transact(nothing)
    assert await outbox(unit_of_work) == []


BAD, GOOD = True, False


def test_too_many_bad_records_in_a_row() -> None:
    """A run of bad records over the limit pauses the consumer.

    Nothing of that batch is written; the run may span batches.
    """
    bad_records = BadRecords(limit=10)
    for batch in ([*[GOOD] * 90, *[BAD] * 5], [BAD] * 4):
        bad_records.check(batch)
        bad_records.count(batch)
    with pytest.raises(TooManyBadRecords, match="10 in a row"):
        bad_records.check([BAD])
    bad_records.check([GOOD, *[BAD] * 9])


def test_too_many_bad_records_among_the_recent() -> None:
    """Half of the recent records being bad pauses the consumer."""
    bad_records = BadRecords(limit=10)
    for _ in range(9):
        bad_records.check([BAD, GOOD])
        bad_records.count([BAD, GOOD])
    with pytest.raises(TooManyBadRecords, match="10 of the last 20"):
        bad_records.check([BAD, GOOD])


def test_few_bad_records_among_many_good_ones_never_stop_the_consumer() -> None:
    """One in ten only makes dead letters."""
    bad_records = BadRecords(limit=10)
    for _ in range(50):
        bad_records.check([BAD, *[GOOD] * 9] * 100)
        bad_records.count([BAD, *[GOOD] * 9] * 100)


async def test_a_retried_batch_counts_once(unit_of_work: UnitOfWork) -> None:
    """While the infrastructure is unavailable a batch is retried.

    Its bad records are not counted again.
    """

    async def away(connection: AsyncConnection, received: Sequence[Received[Sample]]) -> None:
        raise ConnectionError("injected")

    batch = [*samples("a"), *(record(TOPIC, b"{", offset=at) for at in range(1, 6))]
    bad_records = BadRecords(limit=10)
    for _ in range(20):
        with pytest.raises(ConnectionError):
            await process_batch(
                unit_of_work, SampleService(away).subscription(), batch, bad_records
            )
    await process_batch(unit_of_work, SampleService().subscription(), batch, bad_records)
    assert len(await dead_letters(unit_of_work)) == 5


@pytest.mark.parametrize(
    "name",
    ["ce_id", "", "with \x00 in it", "with \\u0000 spelt out", "‮right to left"],
)
async def test_no_header_has_an_effect(unit_of_work: UnitOfWork, name: str) -> None:
    """Headers are optional and not read: null, binary or strange.

    They are stored with a dead letter and have no other effect.
    """
    headers = ((name, None), ("x", b"\xff\xfe\x00"))
    batch = [
        Record(TOPIC, 0, 0, b"\xff", sample("a"), headers),
        Record(TOPIC, 0, 1, None, b"", headers),
    ]
    await process(unit_of_work, SampleService().subscription(), batch)
    assert await kept(unit_of_work) == ["a"]
    assert await dead_letters(unit_of_work) == [("empty", 1)]
