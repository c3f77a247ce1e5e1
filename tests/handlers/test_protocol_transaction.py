"""The transaction of the protocol on a real PostgreSQL: what a bad record, another worker and a repeat do to their neighbours."""

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
from tests.conftest import BooksOf, EngineOf, nothing, process
from tests.sample_service import SERVICE, TOPIC, Playroom, Toy, make_table, toy

NUL_IN_A_FREE_FIELD = b'{"toy_id": "%s", "hours": "1", "free": "a\\u0000b"}'


@pytest.fixture
async def books(engine_of: EngineOf, books_of: BooksOf) -> UnitOfWork:
    """The toy service's books."""
    await make_table(engine_of("owner"))
    return books_of(SERVICE, {"toy": Playroom().say})


def heard(books: UnitOfWork) -> list[tuple[str, str]]:
    """Topic and key of all that was said, in order."""
    return [(message.topic, message.key) for message in books.producer.published]  # type: ignore[attr-defined]


async def kept(books: UnitOfWork, columns: str = "toy_id") -> list[Any]:
    """The toys that are there, in the order in which they were written."""
    async with books.engine.connect() as connection:
        found = await rows(connection, f"SELECT {columns} FROM fee_realizer.toy ORDER BY place")
    return [row[0] if len(row) == 1 else tuple(row) for row in found]


async def letters(books: UnitOfWork) -> list[tuple[str, int]]:
    """Code and offset of the dead letters."""
    async with books.engine.connect() as connection:
        return [
            tuple(row)
            for row in await rows(
                connection,
                f"SELECT code, record_offset FROM {SERVICE}.dead_letter ORDER BY dead_letter_id",
            )
        ]


async def outbox(books: UnitOfWork) -> list[tuple[str, str]]:
    """What stands as unsaid."""
    async with books.engine.connect() as connection:
        return await tables.outbox_entries(connection, SERVICE, 1000)


def toys(*ids: str, first: int = 0) -> list[Record]:
    """A record for each toy, on one partition."""
    return [record(TOPIC, toy(toy_id), offset=first + at) for at, toy_id in enumerate(ids)]


async def test_an_unreadable_record_and_its_neighbours_are_one_transaction(
    books: UnitOfWork,
) -> None:
    """The neighbours of an unreadable record go through, in the transaction that keeps the dead letter."""
    await process(
        books,
        Playroom().subscription(),
        [*toys("a"), record(TOPIC, b"{", offset=1), *toys("b", first=2)],
    )
    (first, of_first), (second, of_second) = await kept(books, "toy_id, transaction_id")
    async with books.engine.connect() as connection:
        of_letter = await connection.scalar(
            text("SELECT CAST(CAST(xmin AS text) AS bigint) FROM fee_realizer.dead_letter")
        )
    assert [first, second] == ["a", "b"]
    assert of_first == of_second == of_letter
    assert await letters(books) == [("bad_json", 1)]
    assert heard(books) == [
        ("document-held", "a"),
        ("document-held", "b"),
        (f"{TOPIC}.{SERVICE}.dead-letter", "k"),
    ]


async def test_a_record_that_only_the_database_refuses_stands_alone(books: UnitOfWork) -> None:
    """The batch is cut in halves until the refused records stand alone; every other one of a thousand has its effect, in order."""
    batch = toys(*(f"t{at:04}" for at in range(1000)))
    for at in (17, 801):
        batch[at] = record(TOPIC, NUL_IN_A_FREE_FIELD % f"t{at:04}".encode(), offset=at)
    batch[500] = record(TOPIC, toy("t0500", "13"), offset=500)
    room = Playroom()
    await process(books, room.subscription(), batch)
    assert await kept(books) == [f"t{at:04}" for at in range(1000) if at not in (17, 500, 801)]
    assert sorted(offset for _, offset in await letters(books)) == [17, 500, 801]
    assert len({code for code, _ in await letters(books)}) == 2
    assert len(room.tries) <= 3 * 2 * 11, "cutting in halves costs two transactions a halving"


async def test_a_lone_refused_record_is_a_dead_letter(books: UnitOfWork) -> None:
    """A batch of one that the database refuses is not tried again and again."""
    room = Playroom()
    await process(books, room.subscription(), [record(TOPIC, NUL_IN_A_FREE_FIELD % b"a", offset=4)])
    assert (await letters(books))[0][1] == 4
    assert len(room.tries) == 1


async def test_another_worker_in_the_way_is_tried_again(
    books: UnitOfWork, engine_of: EngineOf
) -> None:
    """A zombie that commits the same toy between our look and our write costs one more try, and no dead letter."""

    async def zombie(connection: AsyncConnection, received: Sequence[Received[Toy]]) -> None:
        if len(room.tries) == 1:
            async with engine_of("owner").begin() as other:
                await other.execute(
                    text("INSERT INTO fee_realizer.toy (toy_id, hours, body) VALUES ('b', 1, '{}')")
                )

    room = Playroom(zombie)
    await process(books, room.subscription(), toys("a", "b", "c"))
    assert room.tries == [["a", "b", "c"]] * 2
    assert sorted(await kept(books)) == ["a", "b", "c"]
    assert await letters(books) == []
    assert [key for _, key in heard(books)] == ["a", "c"], "the zombie says what it wrote"


async def test_a_key_that_is_taken_again_and_again_is_a_bug(books: UnitOfWork) -> None:
    """Trying again ends: what still meets its unique key after five tries is a bug, which stops the worker."""

    async def twice(connection: AsyncConnection, received: Sequence[Received[Toy]]) -> None:
        await connection.execute(
            text("INSERT INTO fee_realizer.toy (toy_id, hours, body) VALUES ('a', 1, '{}')")
        )

    room = Playroom(twice)
    with pytest.raises(IntegrityError):
        await process(books, room.subscription(), toys("a"))
    assert len(room.tries) == CONFLICT_RETRIES
    assert await kept(books) == []
    assert await letters(books) == []


async def test_a_repeat_changes_nothing_and_says_nothing(books: UnitOfWork) -> None:
    """The same records again, dead letters among them: no table changes and nothing is said."""
    batch = [
        *toys("a", "b"),
        record(TOPIC, b"[]", offset=2),
        record(TOPIC, toy("a", "2"), offset=3),
    ]
    await process(books, Playroom().subscription(), batch)
    await books.transact(nothing)
    said = heard(books)
    before = (await kept(books, "toy_id, hours, transaction_id"), await letters(books))
    await process(books, Playroom().subscription(), batch)
    assert (await kept(books, "toy_id, hours, transaction_id"), await letters(books)) == before
    assert sorted(before[1]) == [("conflict", 3), ("not_an_object", 2)]
    assert heard(books) == said
    assert await outbox(books) == []


async def test_the_same_offset_with_another_record_is_another_dead_letter(
    books: UnitOfWork,
) -> None:
    """A topic that is made anew counts its offsets from zero again: what it brings is not taken for a repeat."""
    await process(books, Playroom().subscription(), [record(TOPIC, b"one", offset=0)])
    await process(books, Playroom().subscription(), [record(TOPIC, b"two", offset=0)])
    assert await letters(books) == [("bad_json", 0), ("bad_json", 0)]


async def test_what_must_be_said_is_kept_until_it_was_said(books: UnitOfWork) -> None:
    """An announcement stands in the books until a later transaction forgets it; one that was never said is said from its row."""
    await process(books, Playroom().subscription(), toys("a"))
    assert await outbox(books) == [("toy", "a")]
    await process(books, Playroom().subscription(), toys("b", first=1))
    assert await outbox(books) == [("toy", "b")]
    books.published.clear()  # as a worker that starts anew: it does not know that b was said
    assert await books.publish_pending(await outbox(books)) == 1
    assert heard(books) == [("document-held", "a"), ("document-held", "b"), ("document-held", "b")]
    await books.transact(nothing)
    assert await outbox(books) == []


async def test_what_was_said_is_forgotten_only_if_the_transaction_stands(books: UnitOfWork) -> None:
    """A transaction that fails forgets nothing: what it would have dropped is dropped by the next one."""

    async def fails(connection: AsyncConnection, received: Sequence[Received[Toy]]) -> None:
        raise ZeroDivisionError

    await process(books, Playroom().subscription(), toys("a"))
    with pytest.raises(ZeroDivisionError):
        await process(books, Playroom(fails).subscription(), toys("b", first=1))
    assert await outbox(books) == [("toy", "a")]
    await books.transact(nothing)
    assert await outbox(books) == []


async def test_a_short_transaction_does_not_wait_for_a_long_one(books: UnitOfWork) -> None:
    """Two lanes of one worker forget different announcements: settling goes on while a batch is being generated."""

    async def long(connection: AsyncConnection, received: Sequence[Received[Toy]]) -> None:
        await asyncio.wait_for(
            process(books, Playroom().subscription(), toys("c", first=2)), timeout=5
        )

    await process(books, Playroom().subscription(), toys("a"))
    await process(books, Playroom(long).subscription(), toys("b", first=1))
    assert await kept(books) == ["a", "c", "b"]
    await books.transact(nothing)
    assert await outbox(books) == []


BAD, GOOD = True, False


def test_too_many_bad_records_in_a_row() -> None:
    """A run of unreadable records over the limit stops the consumer before anything of that batch is written; it may span batches."""
    bad_records = BadRecords(limit=10)
    for batch in ([*[GOOD] * 90, *[BAD] * 5], [BAD] * 4):
        bad_records.check(batch)
        bad_records.count(batch)
    with pytest.raises(TooManyBadRecords, match="10 in a row"):
        bad_records.check([BAD])
    bad_records.check([GOOD, *[BAD] * 9])


def test_too_many_bad_records_among_the_recent() -> None:
    """When half of the recent records were unreadable, the consumer pauses even though good ones lie between."""
    bad_records = BadRecords(limit=10)
    for _ in range(9):
        bad_records.check([BAD, GOOD])
        bad_records.count([BAD, GOOD])
    with pytest.raises(TooManyBadRecords, match="10 of the last 20"):
        bad_records.check([BAD, GOOD])


def test_few_bad_records_among_many_good_ones_never_stop_the_consumer() -> None:
    """One in ten is what dead letters are for, however many in all, even in one batch."""
    bad_records = BadRecords(limit=10)
    for _ in range(50):
        bad_records.check([BAD, *[GOOD] * 9] * 100)
        bad_records.count([BAD, *[GOOD] * 9] * 100)


async def test_a_batch_that_is_tried_again_counts_once(books: UnitOfWork) -> None:
    """While the world is away the same batch comes again and again: its bad records are not counted as new ones."""

    async def away(connection: AsyncConnection, received: Sequence[Received[Toy]]) -> None:
        raise ConnectionError("planted")

    batch = [*toys("a"), *(record(TOPIC, b"{", offset=at) for at in range(1, 6))]
    bad_records = BadRecords(limit=10)
    for _ in range(20):
        with pytest.raises(ConnectionError):
            await process_batch(books, Playroom(away).subscription(), batch, bad_records)
    await process_batch(books, Playroom().subscription(), batch, bad_records)
    assert len(await letters(books)) == 5


@pytest.mark.parametrize(
    "name",
    ["ce_id", "", "with \x00 in it", "with \\u0000 spelt out", "‮right to left"],
)
async def test_no_header_can_hurt(books: UnitOfWork, name: str) -> None:
    """Headers are optional and read by nobody: null, binary or strange, they are kept with a dead letter and touch nothing else."""
    headers = ((name, None), ("x", b"\xff\xfe\x00"))
    batch = [
        Record(TOPIC, 0, 0, b"\xff", toy("a"), headers),
        Record(TOPIC, 0, 1, None, b"", headers),
    ]
    await process(books, Playroom().subscription(), batch)
    assert await kept(books) == ["a"]
    assert await letters(books) == [("empty", 1)]
