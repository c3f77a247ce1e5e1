"""The three-way check of what was said, our documents, and what stands in the accounting system: on command and nightly, a part at a time.

Nothing is changed there and nothing is delivered again: each drift is kept, said once, and proposes a fix. A part that could not be read
is counted as unread, and what was known of it stays as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.handlers.reading import BUSY, Reading
from services.arg_sync.ledgers.port import Failure, Found
from services.arg_sync.rules.backoff import backoff
from services.arg_sync.rules.reconcile import (
    LATE_MINUTES,
    OF_THE_BOOKS,
    OF_THE_LEDGER,
    Drift,
    Ours,
    drift_of_the_books,
    drifts_of,
    must_be_asked_by_id,
)
from services.arg_sync.store import announced, connections, drift, reconciliations
from services.arg_sync.store.reconciliations import Run
from shared import telemetry
from shared.consumer.commands import Answer
from shared.consumer.records import Applied
from shared.errors import Refused
from shared.events.commands import Reconcile
from shared.terms import DocumentType, counted

AT_ONCE = 40
MOST_TRIES = 6
BUSY_SECONDS = 2.0
KINDS: tuple[DocumentType, ...] = ("invoice", "credit-note")


async def on_reconcile(connection: AsyncConnection, command: Reconcile) -> Answer:
    """Asks for a run; a worker does it."""
    known = await connections.connection_for(connection, command.ledger, lock=True)
    if known is None or known.state == "disconnected":
        raise Refused(
            "unknown_ledger",
            f"there is no connection {command.ledger}",
            "see `backoffice ledger status`",
        )
    if known.state == "stopped":
        raise Refused(
            "ledger_stopped",
            f"{command.ledger} is stopped: {known.message}",
            "give it a good key, then reconcile",
        )
    run_id = await reconciliations.ask(connection, command.ledger, command.actor)
    return Answer(
        f"{command.ledger} is being compared",
        details={"ledger": command.ledger, "run_id": run_id},
        subjects=[command.ledger],
    )


@dataclass
class Part:
    """Some deliveries, compared. `unread`: those about which the accounting system said nothing that can be used."""

    drifts: list[Drift] = field(default_factory=list)
    read: list[Ours] = field(default_factory=list)
    unread: int = 0


async def carry_on(reading: Reading) -> None:
    """Takes the run of a connection, if nobody has it, and carries it to its end or to the first failure that concerns the connection."""
    ledger = reading.connection.ledger
    async with reading.books.engine.begin() as connection:
        mine = await reconciliations.take(connection, ledger)
    if mine is None:
        return
    if reading.connection.state != "connected":
        await _end(
            reading,
            mine,
            "failed",
            f"{ledger} is {reading.connection.state}: {reading.connection.message}",
        )
        return
    position = mine.position
    try:
        while True:
            async with reading.books.engine.connect() as connection:
                ours = await reconciliations.ours_after(
                    connection, ledger, mine.since, position, AT_ONCE
                )
            if not ours:
                break
            part = await _compared(reading, ours)
            position = ours[-1].delivery_id
            if not await _keep(reading, mine, position, part):
                return
    except Failure as failed:
        await _failed(reading, mine, failed)
        return
    await _finish(reading, mine)


async def _compared(reading: Reading, ours: Sequence[Ours]) -> Part:
    """Compares deliveries with what stands there, a kind at a time."""
    whole = Part()
    for kind in KINDS:
        of_kind = [each for each in ours if each.kind == kind]
        if of_kind:
            part = await _of_kind(reading, kind, of_kind)
            whole = Part(
                whole.drifts + part.drifts, whole.read + part.read, whole.unread + part.unread
            )
    return whole


async def _of_kind(reading: Reading, kind: DocumentType, ours: Sequence[Ours]) -> Part:
    """By number first; by id only those that were not found so. One that cannot be asked for is asked for alone, so that it spoils no other."""
    port = reading.plugged.port
    try:
        by_number = await reading.ask(lambda: port.find(kind, [each.number for each in ours]))
        ids = [each.remote_id for each in ours if must_be_asked_by_id(each, by_number[each.number])]
        by_id: dict[str, Found | None] = (
            await reading.ask(lambda: port.status(kind, ids)) if ids else {}
        )
    except Failure as failed:
        if failed.failure != "permanent" or failed.everywhere:
            raise
        if len(ours) == 1:
            return Part(unread=1)
        parts = [await _of_kind(reading, kind, [each]) for each in ours]
        return Part(
            [one for part in parts for one in part.drifts],
            [one for part in parts for one in part.read],
            sum(part.unread for part in parts),
        )
    drifts = [
        one
        for each in ours
        for one in drifts_of(each, by_number[each.number], by_id.get(each.remote_id))
    ]
    return Part(drifts, list(ours))


async def _keep(reading: Reading, mine: Run, position: int, part: Part) -> bool:
    """Keeps what was found of deliveries that stand as they were compared; False if the run is another's by now."""
    ledger, kept = reading.connection.ledger, []

    async def keep(connection: AsyncConnection) -> Applied:
        kept.append(
            await reconciliations.advance(connection, mine, position, len(part.read), part.unread)
        )
        if not kept[0]:
            return Applied()
        still = await reconciliations.unchanged(connection, part.read)
        numbers = {each.number for each in part.read if each.delivery_id in still}
        found = [each for each in part.drifts if each.number in numbers]
        new = await drift.keep(connection, ledger, found, sorted(numbers), OF_THE_LEDGER)
        return Applied(publish_now=[(announced.DRIFT, str(an_id)) for an_id in new])

    await reading.books.transact(keep)
    return bool(kept[0])


async def _finish(reading: Reading, mine: Run) -> None:
    """At last our own books: what was said, closed and queued."""
    ledger = reading.connection.ledger

    async def finish(connection: AsyncConnection) -> Applied:
        found = [
            drift_of_the_books(one)
            for one in await drift.disagreements(connection, ledger, LATE_MINUTES)
        ]
        before = await drift.open_numbers(connection, ledger, OF_THE_BOOKS)
        new = await drift.keep(connection, ledger, found, before, OF_THE_BOOKS)
        read = await reconciliations.summary(connection, mine.run_id)
        number = await drift.open_count(connection, ledger)
        unread = f", {read.unread} could not be read" if read.unread else ""
        await reconciliations.end(
            connection,
            mine,
            "done",
            f"{counted(read.documents, 'document')} compared{unread}, {counted(number, 'open drift')}",
        )
        return Applied(publish_now=[(announced.DRIFT, str(an_id)) for an_id in new])

    await reading.books.transact(finish)
    telemetry.log().info("reconciled", ledger=ledger)


async def _failed(reading: Reading, mine: Run, failed: Failure) -> None:
    words = f"{failed.code}: {failed.message}"
    if failed.code == BUSY:
        await _put_back(reading, mine, BUSY_SECONDS, words, tried=False)
        return
    await reading.trouble(failed)
    if failed.failure == "transient" and mine.tries + 1 < MOST_TRIES:
        wait = max(backoff(mine.tries + 1, reading.chances), failed.retry_after or 0.0)
        await _put_back(reading, mine, min(wait, 3600.0), words, tried=True)
    else:
        await _end(
            reading,
            mine,
            "failed",
            f"not everything could be read, and nothing that was not read counts as gone: {words}",
        )


async def _put_back(
    reading: Reading, mine: Run, seconds: float, words: str, *, tried: bool
) -> None:
    async with reading.books.engine.begin() as connection:
        await reconciliations.put_back(connection, mine, seconds, words, tried=tried)


async def _end(reading: Reading, mine: Run, state: str, words: str) -> None:
    async with reading.books.engine.begin() as connection:
        await reconciliations.end(connection, mine, state, words)
