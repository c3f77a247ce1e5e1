"""One connection at work: claim, render, send, record, each in tasks of its own.

A run ends when nothing is due, when the connection fails, or when the worker stops. Deliveries
that it claimed and did not begin to send are released.
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.handlers.adapters import OpenAdapter
from services.arg_sync.connections.handlers.circuit import open_circuit, stop_connection
from services.arg_sync.connections.handlers.loops import ConnectionLoop
from services.arg_sync.connections.rules import Jitter
from services.arg_sync.connections.store import budget, connections
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.deliveries.handlers.preparing import Preparer
from services.arg_sync.deliveries.handlers.sending import Outcome, PreparedDelivery, Sender
from services.arg_sync.deliveries.rules.claiming import hold_seconds, lease_for
from services.arg_sync.deliveries.store import claims, deliveries, messages
from services.arg_sync.deliveries.store.claims import ClaimedDelivery
from shared import faults, telemetry
from shared.consumer.records import Applied

CLAIMED_PER_SLOT = 12
CLAIMED_IN_ORDER = 10
MAX_CLAIMED = 120
IDLE_SECONDS = 0.1
WATCH_SECONDS = 1.0
RECORD_DELAY_SECONDS = 0.02
"""Outcomes wait this long for others, to be stored together. A single sender does not wait."""


class DeliveryRun:
    """The deliveries of one worker for one connection until none is due.

    `connection` is the current state of the connection; the adapter may be older.
    """

    def __init__(
        self, loop: ConnectionLoop, connection: LedgerConnection, open_adapter: OpenAdapter
    ) -> None:
        self._loop = loop
        self._engine = loop.unit_of_work.engine
        self._connection = connection
        self._ledger = connection.name
        self._open = open_adapter
        self._can = can = open_adapter.capabilities
        self._in_order = can.order == "connection"
        hold = hold_seconds(can.per_minute, can.concurrency, can.request_seconds)
        self._lease = lease_for(can.request_seconds, can.server_seconds, hold)
        self._healthy = connection.failures == 0
        self._ready: deque[PreparedDelivery] = deque()
        self._outcomes: list[Outcome] = []
        self._changed = asyncio.Condition()
        self._slots = 0
        self._keep_slots_at = 0.0
        self._sending = 0
        self._storing = False
        self._all_claimed = False
        self._all_sent = False
        self._broken = False

    async def run(self) -> None:
        """Deliver until nothing is due."""
        async with self._engine.begin() as connection:
            self._slots = await budget.take_slots(
                connection,
                self._ledger,
                self._loop.holder,
                1 if self._in_order else self._can.concurrency,
                self._lease.whole_seconds,
            )
        if not self._slots:
            return  # other workers hold all slots
        limit = asyncio.Semaphore(self._slots)
        self._preparer = Preparer(self._open, limit, self._loop.jitter, self._engine)
        self._sender = Sender(self._open, limit, self._loop.jitter, self._engine)
        recorder = asyncio.create_task(self._record())
        watcher = asyncio.create_task(self._watch())
        workers = [
            asyncio.create_task(self._claim_and_render()),
            *(asyncio.create_task(self._send()) for _ in range(self._slots)),
        ]
        tasks = [*workers, recorder, watcher]
        try:
            await _wait_for_all(workers, tasks)
            self._all_sent = True
            await self._notify()
            await recorder
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._release()

    async def _watch(self) -> None:
        """End the run when an operator changed the connection or another worker stopped it."""
        while not self._ending:
            await asyncio.sleep(WATCH_SECONDS)
            async with self._engine.connect() as connection:
                self._broken |= not await connections.STATES.may_send(
                    connection, self._ledger, self._connection.generation
                )
        await self._notify()

    @property
    def _busy(self) -> bool:
        return bool(self._sending or self._ready or self._outcomes or self._storing)

    @property
    def _ending(self) -> bool:
        return self._broken or self._loop.stopping.is_set()

    # -- claim and render

    async def _claim_and_render(self) -> None:
        ahead = min(MAX_CLAIMED, self._slots * CLAIMED_PER_SLOT * self._can.batch_max)
        if self._in_order:
            ahead = CLAIMED_IN_ORDER
        try:
            while not self._ending:
                if self._healthy:
                    room = ahead - len(self._ready)
                    enough = room > ahead // 3
                else:  # after failures a single delivery tests the connection
                    room = 0 if self._busy else 1
                    enough = bool(room)
                if enough:
                    claimed, write_before = await self._claim(room)
                    if claimed:
                        await self._render(claimed, write_before)
                        continue
                    if not self._busy:
                        return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS), self._changed:
                        await self._changed.wait()
        finally:
            self._all_claimed = True
            await self._notify()

    async def _claim(self, room: int) -> tuple[list[ClaimedDelivery], float]:
        began, lease, holder = time.monotonic(), self._lease, self._loop.holder
        async with self._engine.begin() as connection:
            if began > self._keep_slots_at:
                self._keep_slots_at = began + lease.whole_seconds / 3
                kept = await budget.keep_slots(
                    connection, self._ledger, holder, lease.whole_seconds
                )
                if kept < self._slots:  # they expired, and another worker took them
                    self._broken = True
                    return [], 0.0
            claimed = await claims.claim(
                connection, self._ledger, holder, self._can.order, room, lease
            )
        await faults.point("delivery_taken")
        return claimed, began + lease.write_seconds

    async def _render(self, claimed: Sequence[ClaimedDelivery], write_before: float) -> None:
        prepared, outcomes = await self._preparer.prepare(claimed, write_before)
        self._ready.extend(prepared)
        await self._finish(outcomes)

    # -- send

    async def _send(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: self._ready or self._all_claimed or self._ending
                )
                if self._ending or not self._ready:
                    return
                if time.monotonic() > self._ready[0].write_before - self._can.request_seconds:
                    # Too little of the lease is left: release all and claim them again.
                    self._broken = True
                    return
                group = self._next_group()
                self._sending += 1
            try:
                outcomes = await self._sender.send(group)
            finally:
                self._sending -= 1
            await self._finish(outcomes)

    def _next_group(self) -> list[PreparedDelivery]:
        """Return one delivery, or as many as one call takes if none of them was ever sent."""
        group = [self._ready.popleft()]
        while (
            len(group) < self._can.batch_max
            and self._ready
            and _never_sent(group[0])
            and _never_sent(self._ready[0])
        ):
            group.append(self._ready.popleft())
        return group

    async def _finish(self, outcomes: Sequence[Outcome]) -> None:
        """Hand outcomes to the recorder.

        A failure of the connection ends the run, and so does a gap where documents go in order.
        """
        for outcome in outcomes:
            self._outcomes.append(outcome)
            if outcome.failure is not None:
                self._broken = True
            if outcome.next.state == "posted":
                self._healthy = True
            elif self._in_order and outcome.next.state != "refused":
                self._broken = True
        await self._notify()

    # -- record

    async def _record(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._outcomes or self._all_sent)
            if not self._all_sent and self._slots > 1:
                await asyncio.sleep(RECORD_DELAY_SECONDS)
            outcomes, self._outcomes = self._outcomes, []
            if not outcomes:
                return
            self._storing = True
            await store_outcomes(self._loop, self._connection, outcomes)
            self._storing = False
            await self._notify()

    async def _release(self) -> None:
        """Release what was claimed and not begun, and the slots."""
        unsent = [each.claimed for each in self._ready]
        async with self._engine.begin() as connection:
            if unsent:
                await claims.release(connection, unsent)
            await budget.release_slots(connection, self._ledger, self._loop.holder)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _never_sent(one: PreparedDelivery) -> bool:
    return not one.claimed.outcome_unknown and one.claimed.remote_id is None


async def _wait_for_all(
    workers: Sequence[asyncio.Task[None]], watched: Sequence[asyncio.Task[None]]
) -> None:
    """Wait until all workers ended; raise the first exception of any watched task."""
    pending = set(watched)
    while not all(task.done() for task in workers):
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    for task in workers:
        task.result()


async def store_outcomes(
    loop: ConnectionLoop, ledger: LedgerConnection, outcomes: Sequence[Outcome]
) -> None:
    """Store outcomes in one transaction and publish their messages."""
    await faults.point("before_outcome")
    values = json.dumps([_row(each) for each in outcomes])

    async def store(connection: AsyncConnection) -> Applied:
        settled = await claims.settle(connection, values, loop.holder)
        posted = [row.delivery_id for row in settled if row.state == "posted"]
        await deliveries.apply_credits(connection, posted)
        if unapplied := [row.delivery_id for row in settled if row.code == "unapplied"]:
            await deliveries.apply_late(connection, unapplied)
        await _update_connection(connection, ledger, outcomes, loop.jitter)
        return Applied(
            publish_now=[
                messages.outbox_id(row) for row in settled if row.state in ("posted", "refused")
            ]
        )

    await loop.unit_of_work.transact(store)
    for each in outcomes:
        telemetry.DELIVERIES_ENDED.labels(ledger.kind, each.next.state).inc()
        if each.next.state == "refused":
            telemetry.log().warning(
                "delivery refused",
                ledger=ledger.name,
                invoice=each.claimed.invoice_number,
                code=each.next.code,
            )


async def _update_connection(
    connection: AsyncConnection,
    ledger: LedgerConnection,
    outcomes: Sequence[Outcome],
    jitter: Jitter,
) -> None:
    """Stop the connection, open its circuit, or close it after a successful delivery."""
    failures = [each.failure for each in outcomes if each.failure is not None]
    refused_key = next((failed for failed in failures if failed.failure == "auth"), None)
    if refused_key is not None:
        await stop_connection(connection, ledger, refused_key)
    elif failures:
        wait = max(failed.retry_after or 0.0 for failed in failures)
        await open_circuit(connection, ledger, wait or None, failures[-1].message, jitter)
    elif ledger.failures and any(each.next.state == "posted" for each in outcomes):
        await connections.STATES.close_circuit(connection, ledger.name)


def _row(each: Outcome) -> dict[str, Any]:
    found, after = each.found, each.next
    return {
        "delivery_id": each.claimed.delivery_id,
        "lease": each.claimed.lease,
        "state": after.state,
        "wait": after.wait_seconds,
        "outcome_unknown": after.outcome_unknown,
        "tries": after.tries,
        "code": after.code,
        "message": after.message.replace("\0", ""),
        "fix": after.fix,
        "raw": after.raw.replace("\0", ""),
        "remote_id": found.remote_id if found else None,
        "remote_number": found.remote_number if found else None,
        "remote_state": ("draft" if found.state == "draft" else "posted") if found else None,
        "steps": each.steps,
        "duration_ms": int((time.monotonic() - each.began) * 1000) if each.began else 0,
    }
