"""Process a polled batch: parse its records, apply the valid ones, keep the rest as dead letters.

A batch is one transaction. If the database refuses a value, the batch is divided into halves until
the refused record is alone and becomes a dead letter.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import telemetry
from shared.consumer.records import Applied, Received, Record, Rejection, read_records
from shared.consumer.rejections import database_rejection
from shared.consumer.unit_of_work import READ_COMMITTED, UnitOfWork
from shared.database import refused_by_database, retryable

CONFLICT_RETRIES = 5
RETRY_PAUSE_SECONDS = 0.05
RECENT_RECORDS = 1000

ReadRecord = Callable[[Record], Any]
"""Parses a record; gives an event, a `Rejection`, or None for a record that is not processed."""
ApplyRecords = Callable[[AsyncConnection, Sequence[Received[Any]]], Awaitable[Applied]]


class TooManyBadRecords(Exception):
    """So many records are invalid that a program that sends them is probably wrong.

    The consumer pauses, so that the whole topic does not become dead letters.
    """


@dataclass(frozen=True)
class Subscription:
    """What a service does with one topic.

    If `one_by_one`, each record has its own transaction, with the isolation level that `isolation`
    gives for its event.
    """

    topic: str
    read: ReadRecord
    apply: ApplyRecords
    schema: Any
    one_by_one: bool = False
    isolation: Callable[[Any], str] = lambda event: READ_COMMITTED


class BadRecords:
    """Counts the invalid records of a subscription against a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=RECENT_RECORDS)
        self._tolerated: dict[int, int] = {}

    def tolerate(self, ends: Mapping[int, int]) -> None:
        """Count no record before these offsets, by partition: they become dead letters."""
        self._tolerated |= ends

    def counted(self, records: Sequence[Record]) -> Sequence[Record]:
        """The records that count against the limit."""
        if not self._tolerated:
            return records
        return [
            record
            for record in records
            if record.offset >= self._tolerated.get(record.partition, 0)
        ]

    def check(self, outcomes: Sequence[bool]) -> None:
        """Raise `TooManyBadRecords` if this batch exceeds the limit; then nothing may be written.

        `outcomes` has True for each invalid record.
        """
        if not any(outcomes):
            return
        in_a_row, longest = self._in_a_row, 0
        for bad in outcomes:
            in_a_row = in_a_row + 1 if bad else 0
            longest = max(longest, in_a_row)
        recent = [*self._recent, *outcomes][-RECENT_RECORDS:]
        bad_records = sum(recent)
        if longest >= self._limit or (
            bad_records >= self._limit and bad_records * 2 >= len(recent)
        ):
            raise TooManyBadRecords(
                f"{bad_records} of the last {len(recent)} records could not be read, "
                f"{longest} in a row (BACKOFFICE_BAD_RECORDS_LIMIT is {self._limit}): stop the "
                "program that sends them; the topic is read again when the newest records can be "
                "read, or by `backoffice consumers resume`"
            )

    def count(self, outcomes: Sequence[bool]) -> None:
        """Count a committed batch. A batch that is retried is counted once."""
        for bad in outcomes:
            self._in_a_row = self._in_a_row + 1 if bad else 0
        self._recent.extend(outcomes)


async def process_batch(
    unit_of_work: UnitOfWork,
    subscription: Subscription,
    records: Sequence[Record],
    bad_records: BadRecords,
) -> bool:
    """Process a batch up to its offsets; return whether background jobs became due.

    After an exception the caller must seek back to the first record.
    """
    valid, rejected = read_records(subscription.read, records)
    rejected_ids = {id(record) for record, _ in rejected}
    outcomes = [id(record) in rejected_ids for record in bad_records.counted(records)]
    bad_records.check(outcomes)
    jobs_due = False
    if subscription.one_by_one:
        for received in valid:
            jobs_due |= (await _transact(unit_of_work, subscription, [received], [])).jobs_due
        if rejected:
            await _transact(unit_of_work, subscription, [], rejected)
    elif valid or rejected:
        applied = await _transact(unit_of_work, subscription, valid, rejected)
        jobs_due, dead_letters = applied.jobs_due, len(applied.rejected)
        for outcome, number in (
            ("read", len(valid) + len(rejected) - dead_letters),
            ("dead_letter", dead_letters),
        ):
            telemetry.RECORDS.labels(unit_of_work.service, subscription.topic, outcome).inc(number)
    bad_records.count(outcomes)
    return jobs_due


async def _transact(
    unit_of_work: UnitOfWork,
    subscription: Subscription,
    valid: Sequence[Received[Any]],
    rejected: Sequence[tuple[Record, Rejection]],
) -> Applied:
    """Commit the batch; retry after conflicts; divide it if the database refuses a value."""
    for attempt in range(1, CONFLICT_RETRIES + 1):
        try:
            return await _transact_once(unit_of_work, subscription, valid, rejected)
        except Exception as error:
            telemetry.TRANSACTIONS.labels(unit_of_work.service, subscription.topic, "failed").inc()
            if retryable(error) and attempt < CONFLICT_RETRIES:
                await asyncio.sleep(RETRY_PAUSE_SECONDS * attempt)
                continue
            if not refused_by_database(error) or not valid:
                raise
            if len(valid) == 1:
                rejected = [*rejected, (valid[0].record, database_rejection(error))]
                return await _transact_once(unit_of_work, subscription, [], rejected)
            half = len(valid) // 2
            first = await _transact(unit_of_work, subscription, valid[:half], rejected)
            second = await _transact(unit_of_work, subscription, valid[half:], [])
            return Applied(
                jobs_due=first.jobs_due or second.jobs_due,
                rejected=[*first.rejected, *second.rejected],
            )
    raise AssertionError("unreachable")


async def _transact_once(
    unit_of_work: UnitOfWork,
    subscription: Subscription,
    valid: Sequence[Received[Any]],
    rejected: Sequence[tuple[Record, Rejection]],
) -> Applied:
    async def work(connection: AsyncConnection) -> Applied:
        applied = await subscription.apply(connection, valid) if valid else Applied()
        applied.rejected += rejected
        return applied

    if subscription.one_by_one and valid:
        isolation = subscription.isolation(valid[0].event)
    else:
        isolation = READ_COMMITTED
    applied = await unit_of_work.transact(work, isolation)
    telemetry.TRANSACTIONS.labels(unit_of_work.service, subscription.topic, "committed").inc()
    return applied
