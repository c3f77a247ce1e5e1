"""Reconciles a connection: on command and nightly, some deliveries at a time.

Nothing is changed in the ledger and nothing is delivered again: each drift is stored, published
once, and proposes a fix. Deliveries that could not be read are counted as unread, and their known
drifts stay as they were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.handlers.adapters import OpenAdapter
from services.arg_sync.connections.handlers.commands import require_connection
from services.arg_sync.connections.handlers.loops import ConnectionLoop
from services.arg_sync.connections.handlers.reading import BUSY, LedgerReader
from services.arg_sync.connections.rules import backoff
from services.arg_sync.connections.store.connections import (
    STOPPED,
    LedgerConnection,
    connections_named,
)
from services.arg_sync.ledgers.documents import RemoteDocument
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.reconciliation.rules import (
    INTERNAL_DRIFTS,
    LATE_MINUTES,
    LEDGER_DRIFTS,
    Drift,
    SettledDelivery,
    find_drifts,
    needs_lookup_by_id,
)
from services.arg_sync.reconciliation.store import drifts, runs
from services.arg_sync.reconciliation.store.runs import ReconciliationRun
from shared import telemetry
from shared.consumer.commands import Answer, CommandHandler
from shared.consumer.records import Applied
from shared.errors import Refused
from shared.events.commands import Reconcile
from shared.terms import DocumentType, counted

COMPARED_AT_ONCE = 40
MAX_TRIES = 6
MAX_WAIT_SECONDS = 3600.0
BUSY_SECONDS = 2.0
DOCUMENT_TYPES: tuple[DocumentType, ...] = ("invoice", "credit-note")


async def on_reconcile(connection: AsyncConnection, command: Reconcile) -> Answer:
    """Request a run; the loop of a worker does it."""
    known = await require_connection(connection, command.ledger)
    if known.state in STOPPED:
        raise Refused(
            "ledger_stopped",
            f"{command.ledger} {STOPPED[known.state]}: {known.message}",
            f"when `backoffice ledger test {command.ledger}` succeeds, reconcile again",
        )
    run_id = await runs.request(connection, command.ledger, command.actor)
    return Answer(
        f"{command.ledger} is being compared",
        details={"ledger": command.ledger, "run_id": run_id},
        subjects=[command.ledger],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {Reconcile: on_reconcile}


Compared = tuple[list[Drift], list[SettledDelivery]]
"""The drifts of some deliveries, and the deliveries that could be read."""


class ReconciliationLoop(ConnectionLoop):
    """Runs reconciliations. A run may be cancelled at any moment: its progress is stored."""

    async def due(self) -> list[LedgerConnection]:
        """Request the nightly runs, and return the connections with a due run."""
        async with self.unit_of_work.engine.begin() as connection:
            await runs.request_nightly(connection)
            return await connections_named(connection, await runs.due(connection))

    async def work(self, ledger: LedgerConnection, open_adapter: OpenAdapter) -> None:
        """Claim the run and continue it to its end or to a failure of the connection."""
        async with self.unit_of_work.engine.begin() as connection:
            run = await runs.claim(connection, ledger.name)
        if run is not None:
            holder = f"reconcile/{self.holder}"
            reader = LedgerReader(self.unit_of_work, ledger, open_adapter, holder, self.jitter)
            await _Reconciliation(reader, run).carry_out()


@dataclass(frozen=True)
class _Reconciliation:
    """A claimed run and the reader of its connection."""

    reader: LedgerReader
    run: ReconciliationRun

    async def carry_out(self) -> None:
        reader, run = self.reader, self.run
        if reader.connection.state != "connected":
            state = f"{reader.ledger} is {reader.connection.state}"
            await self._end("failed", f"{state}: {reader.connection.message}")
            return
        position = run.position
        try:
            while True:
                async with reader.unit_of_work.engine.connect() as connection:
                    deliveries = await runs.settled_after(
                        connection, reader.ledger, run.since, position, COMPARED_AT_ONCE
                    )
                if not deliveries:
                    break
                position = deliveries[-1].delivery_id
                if not await self._store(position, len(deliveries), await self._all(deliveries)):
                    return
        except Failure as failed:
            await self._fail(failed)
            return
        await self._finish()

    async def _all(self, deliveries: Sequence[SettledDelivery]) -> Compared:
        drifts, read = list[Drift](), list[SettledDelivery]()
        for kind in DOCUMENT_TYPES:
            if of_kind := [each for each in deliveries if each.kind == kind]:
                found, readable = await self._compare(kind, of_kind)
                drifts, read = drifts + found, read + readable
        return drifts, read

    async def _compare(self, kind: DocumentType, deliveries: Sequence[SettledDelivery]) -> Compared:
        """Look up by number, and by id what has another number.

        If the ledger refuses a call, each delivery is looked up alone, so that one which cannot be
        read does not hide the others.
        """
        adapter = self.reader.adapter
        numbers = [each.number for each in deliveries]
        try:
            by_number = await self.reader.read(lambda: adapter.find(kind, numbers))
            ids = [
                each.remote_id
                for each in deliveries
                if needs_lookup_by_id(each, by_number[each.number])
            ]
            by_id: dict[str, RemoteDocument | None] = (
                await self.reader.read(lambda: adapter.status(kind, ids)) if ids else {}
            )
        except Failure as failed:
            if failed.failure != "permanent" or failed.everywhere:
                raise
            if len(deliveries) == 1:
                return [], []
            alone = [await self._compare(kind, [each]) for each in deliveries]
            return [one for drifts, _ in alone for one in drifts], [
                one for _, read in alone for one in read
            ]
        drifts = [
            drift
            for each in deliveries
            for drift in find_drifts(each, by_number[each.number], by_id.get(each.remote_id))
        ]
        return drifts, list(deliveries)

    async def _store(self, position: int, compared: int, result: Compared) -> bool:
        """Store the drifts of unchanged deliveries; False if the lease is lost."""
        kept = False
        found, read = result

        async def store(connection: AsyncConnection) -> Applied:
            nonlocal kept
            unread = compared - len(read)
            kept = await runs.advance(connection, self.run, position, len(read), unread)
            if not kept:
                return Applied()
            unchanged = await runs.lock_unchanged(connection, read)
            numbers = {each.number for each in read if each.delivery_id in unchanged}
            new = [each for each in found if each.number in numbers]
            return Applied(
                publish_now=await drifts.store_drifts(
                    connection, self.reader.ledger, new, sorted(numbers), LEDGER_DRIFTS
                )
            )

        await self.reader.unit_of_work.transact(store)
        return kept

    async def _finish(self) -> None:
        """Compare our own records last, and end the run."""
        ledger = self.reader.ledger

        async def finish(connection: AsyncConnection) -> Applied:
            found = await drifts.internal_drifts(connection, ledger, LATE_MINUTES)
            before = await drifts.numbers_with_open_drifts(connection, ledger, INTERNAL_DRIFTS)
            ids = await drifts.store_drifts(connection, ledger, found, before, INTERNAL_DRIFTS)
            read = await runs.progress(connection, self.run.run_id)
            number = await drifts.count_open_drifts(connection, ledger)
            unread = f", {read.unread} could not be read" if read.unread else ""
            await runs.end(
                connection,
                self.run,
                "done",
                f"{counted(read.documents, 'document')} compared{unread},"
                f" {counted(number, 'open drift')}",
            )
            return Applied(publish_now=ids)

        await self.reader.unit_of_work.transact(finish)
        telemetry.log().info("reconciled", ledger=ledger)

    async def _fail(self, failed: Failure) -> None:
        """Postpone the run if the failure may pass; else end it."""
        message, tries = f"{failed.code}: {failed.message}", self.run.tries + 1
        if failed.code == BUSY:
            await self._postpone(BUSY_SECONDS, message, failed=False)
            return
        await self.reader.record_failure(failed)
        if failed.failure == "transient" and tries < MAX_TRIES:
            wait = max(backoff(tries, self.reader.jitter), failed.retry_after or 0.0)
            await self._postpone(min(wait, MAX_WAIT_SECONDS), message, failed=True)
        else:
            await self._end(
                "failed",
                f"some documents could not be read, and none of those counts as gone: {message}",
            )

    async def _postpone(self, seconds: float, message: str, *, failed: bool) -> None:
        async with self.reader.unit_of_work.engine.begin() as connection:
            await runs.postpone(connection, self.run, seconds, message, failed=failed)

    async def _end(self, state: str, message: str) -> None:
        async with self.reader.unit_of_work.engine.begin() as connection:
            await runs.end(connection, self.run, state, message)
