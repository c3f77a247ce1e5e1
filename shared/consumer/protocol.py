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
from shared.broker.producer import OutgoingMessage, Producer
from shared.consumer import tables as ledger
from shared.consumer.records import Applied, OutboxId, Received, Record, Rejection, read_all
from shared.database import refused_by_database, retryable, sqlstate
from shared.settings import settings

CONFLICT_RETRIES = 5
RECENT_RECORDS = 1000
OUTBOX_CHUNK = 50

Read = Callable[[Record], Any]
Apply = Callable[[AsyncConnection, Sequence[Received[Any]]], Awaitable[Applied]]
MessageBuilder = Callable[[AsyncConnection, Sequence[str]], Awaitable[list[OutgoingMessage]]]
BackgroundJob = Callable[[AsyncConnection], Awaitable[Applied]]


class TooManyBadRecords(Exception):
    """A bad deployment must not empty a topic into the dead letters: the consumer pauses and says so."""


@dataclass(frozen=True)
class Subscription:
    """What a service does with one topic. `one_by_one`: each record is a transaction of its own (commands)."""

    topic: str
    read: Read
    apply: Apply
    schema: Any
    one_by_one: bool = False
    isolation: Callable[[Any], str] = lambda event: "READ COMMITTED"


@dataclass
class UnitOfWork:
    """What the transactions of one worker share: database, producer, how to build messages, what was said and is still stored."""

    service: str
    engine: AsyncEngine
    producer: Producer
    builders: Mapping[str, MessageBuilder]
    published: set[OutboxId] = field(default_factory=set)
    _forgetting: set[OutboxId] = field(default_factory=set)

    def builder(self, kind: str) -> MessageBuilder:
        """How the message of an in the outbox kind is built from the stored row."""
        if kind == ledger.DEAD_LETTER:
            return lambda connection, ids: ledger.dead_letter_messages(
                connection, self.service, ids
            )
        if kind in (ledger.COMMAND_RESULT, ledger.COMMAND_CONFLICT):
            return lambda connection, ids: ledger.command_messages(
                connection, self.service, kind, ids
            )
        return self.builders[kind]

    async def build(
        self, connection: AsyncConnection, ids: Sequence[OutboxId]
    ) -> list[OutgoingMessage]:
        """The messages of what is in the outbox, from the stored rows."""
        by_kind: dict[str, list[str]] = {}
        for kind, an_id in ids:
            by_kind.setdefault(kind, []).append(an_id)
        return [
            message
            for kind, of_kind in by_kind.items()
            for message in await self.builder(kind)(connection, of_kind)
        ]

    async def transact(
        self,
        work: Callable[[AsyncConnection], Awaitable[Applied]],
        isolation: str = "READ COMMITTED",
    ) -> Applied:
        """One transaction, then publish what it made true. The one way in which this process changes the books."""
        await faults.point("before_transaction")
        forgotten = self.published - self._forgetting if isolation == "READ COMMITTED" else set()
        self._forgetting |= forgotten  # lanes side by side forget different ids, else a short transaction waits for a long one
        try:
            async with self.engine.connect() as connection, connection.begin():
                if isolation != "READ COMMITTED":
                    await connection.execute(text(f"SET TRANSACTION ISOLATION LEVEL {isolation}"))
                applied = await work(connection)
                await faults.point("inside_transaction")
                applied.publish_now += await ledger.add_dead_letters(
                    connection, self.service, applied.rejected
                )
                outbox = [*applied.publish_now, *applied.publish_after]
                again = forgotten.intersection(outbox)
                await ledger.update_outbox(connection, self.service, outbox, forgotten - again)
                built = [message for of_one in applied.prebuilt.values() for message in of_one]
                messages = [
                    *built,
                    *await self.build(
                        connection,
                        [an_id for an_id in applied.publish_now if an_id not in applied.prebuilt],
                    ),
                ]
                await faults.point("before_commit")
            self.published -= forgotten
        finally:
            self._forgetting -= forgotten
        await faults.point("after_commit")
        await self.publish(messages, applied.publish_now)
        await faults.point("after_publish")
        await publish_pending(self, applied.publish_after)
        return applied

    async def publish(self, messages: Sequence[OutgoingMessage], ids: Sequence[OutboxId]) -> None:
        """Says messages, and remembers what may be forgotten in the next transaction."""
        await self.producer.publish(messages)
        self.published.update(ids)


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


async def process_batch(
    unit_of_work: UnitOfWork,
    subscription: Subscription,
    records: Sequence[Record],
    bad_records: BadRecords,
) -> bool:
    """Everything of a batch but its offsets. True if background jobs became due. Raises what the caller must seek back for."""
    good, bad = read_all(subscription.read, records)
    rejected = {id(record) for record, _ in bad}
    outcomes = [id(record) in rejected for record in records]
    bad_records.check(outcomes)
    jobs_due = await _worked(unit_of_work, subscription, good, bad)
    bad_records.count(outcomes)
    return jobs_due


async def _worked(
    unit_of_work: UnitOfWork,
    subscription: Subscription,
    good: Sequence[Received[Any]],
    bad: Sequence[tuple[Record, Rejection]],
) -> bool:
    if subscription.one_by_one:
        jobs_due = False
        for received in good:
            jobs_due |= (await _settled(unit_of_work, subscription, [received], [])).jobs_due
        if bad:
            await _settled(unit_of_work, subscription, [], bad)
        return jobs_due
    if not good and not bad:
        return False
    applied = await _settled(unit_of_work, subscription, good, bad)
    telemetry.RECORDS.labels(unit_of_work.service, subscription.topic, "read").inc(
        len(good) + len(bad) - len(applied.rejected)
    )
    telemetry.RECORDS.labels(unit_of_work.service, subscription.topic, "dead_letter").inc(
        len(applied.rejected)
    )
    return applied.jobs_due


async def _settled(
    unit_of_work: UnitOfWork,
    subscription: Subscription,
    good: Sequence[Received[Any]],
    bad: Sequence[tuple[Record, Rejection]],
) -> Applied:
    """The transaction, tried again beside another worker, and cut in halves until a record that the database refuses stands alone."""
    for attempt in range(1, CONFLICT_RETRIES + 1):
        try:
            return await _once(unit_of_work, subscription, good, bad)
        except Exception as error:
            telemetry.TRANSACTIONS.labels(unit_of_work.service, subscription.topic, "failed").inc()
            if retryable(error) and attempt < CONFLICT_RETRIES:
                await asyncio.sleep(0.05 * attempt)
                continue
            if not refused_by_database(error) or not good:
                raise
            if len(good) == 1:
                return await _once(
                    unit_of_work, subscription, [], [*bad, (good[0].record, refusal_of(error))]
                )
            half = len(good) // 2
            first = await _settled(unit_of_work, subscription, good[:half], bad)
            second = await _settled(unit_of_work, subscription, good[half:], [])
            return Applied(
                jobs_due=first.jobs_due or second.jobs_due,
                rejected=[*first.rejected, *second.rejected],
            )
    raise AssertionError("unreachable")


async def _once(
    unit_of_work: UnitOfWork,
    subscription: Subscription,
    good: Sequence[Received[Any]],
    bad: Sequence[tuple[Record, Rejection]],
) -> Applied:
    async def work(connection: AsyncConnection) -> Applied:
        applied = await subscription.apply(connection, good) if good else Applied()
        applied.rejected += bad
        return applied

    applied = await unit_of_work.transact(
        work,
        subscription.isolation(good[0].event)
        if subscription.one_by_one and good
        else "READ COMMITTED",
    )
    telemetry.TRANSACTIONS.labels(unit_of_work.service, subscription.topic, "committed").inc()
    return applied


_DATABASE_CODES = {
    "22P05": (
        "unstorable_character",
        "take control characters such as NUL (\\u0000) out of the text",
    ),
    "22021": (
        "unstorable_character",
        "take control characters such as NUL (\\u0000) out of the text",
    ),
    "22003": ("number_too_large", "send a number that people can read, or a string"),
    "22001": ("text_too_large", "send a shorter text"),
    "23514": ("against_the_books", "send values that the books allow"),
    "23502": ("value_missing", "send the value that is missing"),
    "22000": ("does_not_fit", "send a value within the limits of its type"),
}


def refusal_of(error: BaseException) -> Rejection:
    """Why the database refuses a record, in its own words but without the record's values, which it likes to quote."""
    code, fix = _DATABASE_CODES.get(
        sqlstate(error), ("refused_by_database", "send it within the limits of the schema")
    )
    inner = getattr(error, "orig", error)
    cause = getattr(inner, "__cause__", None) or inner
    words = str(getattr(cause, "message", None) or type(cause).__name__).split("\n")[0]
    if (
        sqlstate(error) == "22000"
    ):  # the driver refuses before the server sees it; only the last bracket of its words is without the value
        found = re.search(r"\(([a-z][a-z0-9 ]{0,60})\)$", str(cause))
        words = found[1] if found else "it does not fit its type"
    elif sqlstate(error).startswith("22"):
        words = re.sub(r'"[^"]*"?|\'[^\']*\'?', "a value", words)
    return Rejection(code, f"the database refuses a value of this record: {words[:200]}; {fix}")


async def publish_pending(unit_of_work: UnitOfWork, ids: Sequence[OutboxId]) -> int:
    """Says what is stored as in the outbox: what a command makes true, and what was left. In slices, because one id may stand for many messages."""
    said = 0
    for at in range(0, len(ids), OUTBOX_CHUNK):
        a_slice = ids[at : at + OUTBOX_CHUNK]
        async with unit_of_work.engine.connect() as connection:
            messages = await unit_of_work.build(connection, a_slice)
        await unit_of_work.publish(messages, a_slice)
        said += len(messages)
    return said


def batch_size() -> int:
    """Records of one consumer in one transaction."""
    return settings().max_batch_records
