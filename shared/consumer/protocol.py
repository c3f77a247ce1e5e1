"""One transaction of messages: from records to committed rows and published announcements. See the package's card for the steps."""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import faults, telemetry
from shared.broker.say import Outgoing, Producer
from shared.consumer import ledger
from shared.consumer.records import Applied, Received, Record, Rejection, UnsaidId, read_all
from shared.database import refused_by_database, sqlstate, try_again
from shared.settings import settings

TRIES_BESIDE_ANOTHER_WORKER = 5
RECENT_RECORDS = 1000
UNSAID_A_SLICE = 50

Read = Callable[[Record], Any]
Apply = Callable[[AsyncConnection, Sequence[Received[Any]]], Awaitable[Applied]]
Say = Callable[[AsyncConnection, Sequence[str]], Awaitable[list[Outgoing]]]
Chore = Callable[[AsyncConnection], Awaitable[Applied]]


class TooManyBadRecords(Exception):
    """A bad deployment must not empty a topic into the dead letters: the consumer pauses and says so."""


@dataclass(frozen=True)
class Lane:
    """What a service does with one topic. `one_by_one`: each record is a transaction of its own (commands)."""

    topic: str
    read: Read
    apply: Apply
    schema: Any
    one_by_one: bool = False
    isolation: Callable[[Any], str] = lambda event: "READ COMMITTED"


@dataclass
class Books:
    """What the transactions of one worker share: database, producer, how to build messages, what was said and is still stored."""

    service: str
    engine: AsyncEngine
    producer: Producer
    says: Mapping[str, Say]
    said: set[UnsaidId] = field(default_factory=set)
    _forgetting: set[UnsaidId] = field(default_factory=set)

    def builder(self, kind: str) -> Say:
        """How the message of an unsaid kind is built from the stored row."""
        if kind == ledger.DEAD_LETTER:
            return lambda connection, ids: ledger.dead_letter_messages(connection, self.service, ids)
        if kind in (ledger.COMMAND_RESULT, ledger.COMMAND_CONFLICT):
            return lambda connection, ids: ledger.command_messages(connection, self.service, kind, ids)
        return self.says[kind]

    async def build(self, connection: AsyncConnection, ids: Sequence[UnsaidId]) -> list[Outgoing]:
        """The messages of what is unsaid, from the stored rows."""
        by_kind: dict[str, list[str]] = {}
        for kind, an_id in ids:
            by_kind.setdefault(kind, []).append(an_id)
        return [message for kind, of_kind in by_kind.items() for message in await self.builder(kind)(connection, of_kind)]

    async def transact(self, work: Callable[[AsyncConnection], Awaitable[Applied]], isolation: str = "READ COMMITTED") -> Applied:
        """One transaction, then publish what it made true. The one way in which this process changes the books."""
        await faults.point("before_transaction")
        forgotten = self.said - self._forgetting if isolation == "READ COMMITTED" else set()
        self._forgetting |= forgotten  # lanes side by side forget different ids, else a short transaction waits for a long one
        try:
            async with self.engine.connect() as connection, connection.begin():
                if isolation != "READ COMMITTED":
                    await connection.execute(text(f"SET TRANSACTION ISOLATION LEVEL {isolation}"))
                applied = await work(connection)
                await faults.point("inside_transaction")
                applied.unsaid += await ledger.add_dead_letters(connection, self.service, applied.rejected)
                unsaid = [*applied.unsaid, *applied.later]
                again = forgotten.intersection(unsaid)
                await ledger.add_unsaid(connection, self.service, unsaid, forgotten - again)
                built = [message for of_one in applied.built.values() for message in of_one]
                messages = [*built, *await self.build(connection, [an_id for an_id in applied.unsaid if an_id not in applied.built])]
                await faults.point("before_commit")
            self.said -= forgotten
        finally:
            self._forgetting -= forgotten
        await faults.point("after_commit")
        await self.publish(messages, applied.unsaid)
        await faults.point("after_publish")
        await say_left(self, applied.later)
        return applied

    async def publish(self, messages: Sequence[Outgoing], ids: Sequence[UnsaidId]) -> None:
        """Says messages, and remembers what may be forgotten in the next transaction."""
        await self.producer.say(messages)
        self.said.update(ids)


class BadRecords:
    """Counts unreadable records of a lane; says when there are too many in a row or among the recent ones."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._run = 0
        self._recent: deque[bool] = deque(maxlen=RECENT_RECORDS)

    def check(self, outcomes: Sequence[bool]) -> None:
        """Raises `TooManyBadRecords` if with this batch (True for each bad record) there are too many; then nothing of it may be written."""
        if not any(outcomes):
            return
        run, longest, seen = self._run, 0, [*self._recent, *outcomes][-RECENT_RECORDS:]
        for bad in outcomes:
            run = run + 1 if bad else 0
            longest = max(longest, run)
        recent = sum(seen)
        if longest >= self._limit or (recent >= self._limit and recent * 2 >= len(seen)):
            raise TooManyBadRecords(
                f"{recent} of the last {len(seen)} records could not be read, {longest} in a row: "
                "stop the program that sends them, or raise BACKOFFICE_BAD_RECORDS_LIMIT if they are to become dead letters; then restart this worker"
            )

    def count(self, outcomes: Sequence[bool]) -> None:
        """Counts a batch that is in the books: one that is tried again counts once."""
        for bad in outcomes:
            self._run = self._run + 1 if bad else 0
        self._recent.extend(outcomes)


async def work_batch(books: Books, lane: Lane, records: Sequence[Record], bad_records: BadRecords) -> bool:
    """Everything of a batch but its offsets. True if chores became due. Raises what the caller must seek back for."""
    good, bad = read_all(lane.read, records)
    rejected = {id(record) for record, _ in bad}
    outcomes = [id(record) in rejected for record in records]
    bad_records.check(outcomes)
    chores = await _worked(books, lane, good, bad)
    bad_records.count(outcomes)
    return chores


async def _worked(books: Books, lane: Lane, good: Sequence[Received[Any]], bad: Sequence[tuple[Record, Rejection]]) -> bool:
    if lane.one_by_one:
        chores = False
        for received in good:
            chores |= (await _settled(books, lane, [received], [])).chores
        if bad:
            await _settled(books, lane, [], bad)
        return chores
    if not good and not bad:
        return False
    applied = await _settled(books, lane, good, bad)
    telemetry.RECORDS.labels(books.service, lane.topic, "read").inc(len(good) + len(bad) - len(applied.rejected))
    telemetry.RECORDS.labels(books.service, lane.topic, "dead_letter").inc(len(applied.rejected))
    return applied.chores


async def _settled(books: Books, lane: Lane, good: Sequence[Received[Any]], bad: Sequence[tuple[Record, Rejection]]) -> Applied:
    """The transaction, tried again beside another worker, and cut in halves until a record that the database refuses stands alone."""
    for attempt in range(1, TRIES_BESIDE_ANOTHER_WORKER + 1):
        try:
            return await _once(books, lane, good, bad)
        except Exception as error:
            telemetry.TRANSACTIONS.labels(books.service, lane.topic, "failed").inc()
            if try_again(error) and attempt < TRIES_BESIDE_ANOTHER_WORKER:
                await asyncio.sleep(0.05 * attempt)
                continue
            if not refused_by_database(error) or not good:
                raise
            if len(good) == 1:
                return await _once(books, lane, [], [*bad, (good[0].record, refusal_of(error))])
            half = len(good) // 2
            first = await _settled(books, lane, good[:half], bad)
            second = await _settled(books, lane, good[half:], [])
            return Applied(chores=first.chores or second.chores, rejected=[*first.rejected, *second.rejected])
    raise AssertionError("unreachable")


async def _once(books: Books, lane: Lane, good: Sequence[Received[Any]], bad: Sequence[tuple[Record, Rejection]]) -> Applied:
    async def work(connection: AsyncConnection) -> Applied:
        applied = await lane.apply(connection, good) if good else Applied()
        applied.rejected += bad
        return applied

    applied = await books.transact(work, lane.isolation(good[0].event) if lane.one_by_one and good else "READ COMMITTED")
    telemetry.TRANSACTIONS.labels(books.service, lane.topic, "committed").inc()
    return applied


_DATABASE_CODES = {
    "22P05": ("unstorable_character", "take control characters such as NUL (\\u0000) out of the text"),
    "22021": ("unstorable_character", "take control characters such as NUL (\\u0000) out of the text"),
    "22003": ("number_too_large", "send a number that people can read, or a string"),
    "22001": ("text_too_large", "send a shorter text"),
    "23514": ("against_the_books", "send values that the books allow"),
    "23502": ("value_missing", "send the value that is missing"),
    "22000": ("does_not_fit", "send a value within the limits of its type"),
}


def refusal_of(error: BaseException) -> Rejection:
    """Why the database refuses a record, in its own words but without the record's values, which it likes to quote."""
    code, mend = _DATABASE_CODES.get(sqlstate(error), ("refused_by_database", "send it within the limits of the schema"))
    inner = getattr(error, "orig", error)
    cause = getattr(inner, "__cause__", None) or inner
    words = str(getattr(cause, "message", None) or type(cause).__name__).split("\n")[0]
    if sqlstate(error) == "22000":  # the driver refuses before the server sees it; only the last bracket of its words is without the value
        found = re.search(r"\(([a-z][a-z0-9 ]{0,60})\)$", str(cause))
        words = found[1] if found else "it does not fit its type"
    elif sqlstate(error).startswith("22"):
        words = re.sub(r'"[^"]*"?|\'[^\']*\'?', "a value", words)
    return Rejection(code, f"the database refuses a value of this record: {words[:200]}; {mend}")


async def say_left(books: Books, ids: Sequence[UnsaidId]) -> int:
    """Says what is stored as unsaid: what a command makes true, and what was left. In slices, because one id may stand for many messages."""
    said = 0
    for at in range(0, len(ids), UNSAID_A_SLICE):
        a_slice = ids[at : at + UNSAID_A_SLICE]
        async with books.engine.connect() as connection:
            messages = await books.build(connection, a_slice)
        await books.publish(messages, a_slice)
        said += len(messages)
    return said


def batch_size() -> int:
    """Records of one consumer in one transaction."""
    return settings().max_batch_records
