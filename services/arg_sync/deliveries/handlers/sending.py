"""One delivery, step by step: look up, create, store the draft's id, post, apply a credit note.

No transaction is open during a call. A look-up comes first if an earlier outcome is unknown.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from services.arg_sync.connections.handlers.adapters import OpenAdapter
from services.arg_sync.connections.rules import Jitter
from services.arg_sync.deliveries.rules.claiming import MARGIN_SECONDS
from services.arg_sync.deliveries.rules.transitions import (
    AttemptContext,
    ExpectedDocument,
    Transition,
    after_failure,
    after_lookup,
    differences,
    fix_of_difference,
    refused,
)
from services.arg_sync.deliveries.store import claims
from services.arg_sync.deliveries.store.claims import ClaimedDelivery
from services.arg_sync.ledgers.adapter import FrozenRequest
from services.arg_sync.ledgers.documents import ArDocument, RemoteDocument
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import writing
from shared import faults, telemetry
from shared.database import infrastructure_unavailable, sqlstate

DISCARD_TRIES, DISCARD_WAIT_SECONDS = 30, 1.0
RETRY = "`backoffice deliveries retry`"
LOOK = "look"
Result = TypeVar("Result")


@dataclass
class PreparedDelivery:
    """A delivery whose request is frozen. A credit note's `document` names its invoices."""

    claimed: ClaimedDelivery
    document: ArDocument
    write_before: float
    steps: list[str] = field(default_factory=list)
    outcome_unknown: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def expected(self) -> ExpectedDocument:
        """The document that the ledger must have."""
        of = self.document
        customer = self.claimed.customer or ""
        return ExpectedDocument(of.number, of.kind, of.currency, of.total, customer, of.tax)

    @property
    def frozen_request(self) -> FrozenRequest:
        """What is sent."""
        key, request = self.claimed.request_key or "", self.claimed.request or ""
        return FrozenRequest(key, request, self.document.kind, self.document.number)


@dataclass(frozen=True)
class Outcome:
    """The result of an attempt. `failure` is set if it concerns the whole connection."""

    claimed: ClaimedDelivery
    next: Transition
    found: RemoteDocument | None = None
    steps: str = ""
    began: float = 0.0
    failure: Failure | None = None


class _LeaseLost(Exception):
    """The lease ended and another worker has the delivery: this worker does nothing more."""


class _Refused(Exception):
    """An operator must decide."""

    def __init__(self, transition: Transition, found: RemoteDocument | None) -> None:
        super().__init__(transition.code)
        self.next = transition
        self.found = found


class ConnectionStep:
    """A step of the deliveries of one connection, within its limit of parallel calls."""

    def __init__(
        self,
        open_adapter: OpenAdapter,
        call_limit: asyncio.Semaphore,
        jitter: Jitter,
        engine: AsyncEngine,
    ) -> None:
        self._open, self._adapter = open_adapter, open_adapter.adapter
        self._can, self._connection = open_adapter.capabilities, open_adapter.connection
        self._call_limit, self._jitter, self._engine = call_limit, jitter, engine

    async def _call(self, call: Callable[[], Awaitable[Result]]) -> Result:
        return await self._open.call(call, self._call_limit)

    async def _read(self, call: Callable[[], Awaitable[Result]]) -> Result:
        return await self._open.read(call, self._call_limit)

    def _after_failure(
        self, claimed: ClaimedDelivery, failed: Failure, *, outcome_unknown: bool, safe_repeat: bool
    ) -> Transition:
        """Return what a failed step makes of a delivery."""
        settle = 0.0 if safe_repeat else self._can.server_seconds + MARGIN_SECONDS
        context = AttemptContext(
            claimed.tries, outcome_unknown, claimed.failing_seconds, safe_repeat, settle
        )
        return after_failure(failed, context, self._jitter)


class Sender(ConnectionStep):
    """Sends prepared deliveries of one connection."""

    async def send(self, group: Sequence[PreparedDelivery]) -> list[Outcome]:
        """Send one delivery, or several in one call. One with a lost lease has no outcome."""
        created = await self._create_all(group) if len(group) > 1 else [None]
        outcomes = [
            await self._send_one(one, result) for one, result in zip(group, created, strict=True)
        ]
        return [each for each in outcomes if each is not None]

    async def _create_all(
        self, group: Sequence[PreparedDelivery]
    ) -> Sequence[RemoteDocument | Failure]:
        """Create several documents in one call. If the call fails, each of them failed."""
        for one in group:
            one.steps.append("create")
        with writing(min(one.write_before for one in group)):
            try:
                requests = [one.frozen_request for one in group]
                return await self._call(lambda: self._adapter.create(requests))
            except Failure as failed:
                if failed.code == "unexpected_error":
                    # Any document may have caused it, so each is looked up and sent alone.
                    failed = Failure("unknown", failed.code, failed.message)
                return [failed] * len(group)

    async def _send_one(
        self, one: PreparedDelivery, created: RemoteDocument | Failure | None
    ) -> Outcome | None:
        one.outcome_unknown = one.claimed.outcome_unknown
        found: RemoteDocument | None = None
        failure: Failure | None = None
        try:
            with writing(one.write_before):
                found, transition = await self._steps(one, created)
        except Failure as failed:
            transition = self._after_failure(
                one.claimed,
                failed,
                outcome_unknown=one.outcome_unknown,
                safe_repeat=self._can.request_key,
            )
            failure = failed if failed.everywhere or failed.failure == "auth" else None
        except _Refused as stop:
            transition, found = stop.next, stop.found
        except _LeaseLost:
            return None
        except Exception as error:
            if infrastructure_unavailable(error) or sqlstate(error):
                raise
            transition = unexpected_error(error, one.claimed.invoice_number)
        steps = " ".join(one.steps)
        return Outcome(one.claimed, transition, found, steps, one.began, failure)

    async def _steps(
        self, one: PreparedDelivery, created: RemoteDocument | Failure | None
    ) -> tuple[RemoteDocument, Transition]:
        if isinstance(created, Failure):
            raise created
        found, claimed, kind = created, one.claimed, one.document.kind
        if found is None and (claimed.outcome_unknown or claimed.remote_id):
            found = await self._look_up(one)
        if found is None:
            one.steps.append("create")
            found = await self._create(one)
        adopted = one.steps[-1] == LOOK and found.remote_id != claimed.remote_id
        await faults.point("document_created")
        one.outcome_unknown = True  # the document exists: after any failure it is looked up first
        if found.state == "draft" and found.remote_id != claimed.remote_id:
            await self._store_draft(one, found)
        self._require_equal(one, found)
        if found.state == "draft":
            one.steps.append("post")
            remote_id = found.remote_id
            found = await self._call(lambda: self._adapter.post(remote_id, kind))
            self._require_equal(one, found)
            await faults.point("document_posted")
        transition = await self._apply(one, found)
        if adopted and not transition.code:
            transition = replace(transition, code="adopted")
        return found, transition

    async def _create(self, one: PreparedDelivery) -> RemoteDocument:
        """Create the document.

        If the number is taken although the look-up found nothing, an earlier call took effect in
        between; a second look-up finds its document.
        """
        try:
            (result,) = await self._call(lambda: self._adapter.create([one.frozen_request]))
            if isinstance(result, Failure):
                raise result
            return result
        except Failure as failed:
            if failed.failure != "duplicate" or not one.claimed.outcome_unknown:
                raise
            found = await self._look_up(one)
            if found is None:
                raise
            return found

    async def _look_up(self, one: PreparedDelivery) -> RemoteDocument | None:
        """Return the document in the ledger that bears our number; None if it is to be sent."""
        one.steps.append(LOOK)
        number, kind = one.document.number, one.document.kind
        remote = await self._read(lambda: self._adapter.find(kind, [number]))
        result = after_lookup(one.expected, remote[number], one.claimed.remote_id)
        if result.verdict != "refuse":
            return result.found
        found = result.found
        ours = found is not None and found.remote_id == one.claimed.remote_id
        if found is None or not (ours and self._can.discards and found.state == "draft"):
            raise _Refused(refused(result.code, result.message, result.fix), found)
        # A draft of ours from before a fix is deleted and created again.
        one.steps.append("discard")
        await self._call(lambda: self._adapter.discard(found.remote_id, kind))
        return None

    async def _store_draft(self, one: PreparedDelivery, found: RemoteDocument) -> None:
        """Store the draft's id. If the lease is lost, delete the draft: it is never posted."""
        async with self._engine.begin() as connection:
            if await claims.keep_draft(
                connection, one.claimed, found.remote_id, found.remote_number
            ):
                return
        await self._discard_unwanted(one, found)
        raise _LeaseLost(one.claimed.invoice_number)

    async def _discard_unwanted(self, one: PreparedDelivery, found: RemoteDocument) -> None:
        """Delete our draft as soon as the next holder of the lease has a draft of its own."""
        for _ in range(DISCARD_TRIES if self._can.discards else 0):
            async with self._engine.begin() as connection:
                stored = await claims.remote_id_of(connection, one.claimed.delivery_id)
            if stored == found.remote_id:
                return
            if stored is not None:
                # The time for writes is over, but no other worker touches this draft.
                with writing(math.inf):
                    await self._call(
                        lambda: self._adapter.discard(found.remote_id, one.document.kind)
                    )
                return
            await asyncio.sleep(DISCARD_WAIT_SECONDS)

    def _require_equal(self, one: PreparedDelivery, found: RemoteDocument) -> None:
        """Refuse the delivery if the ledger created another document than we sent."""
        if unlike := differences(one.expected, found):
            raise _Refused(
                refused(
                    "different",
                    f"the ledger created {found.remote_id} for {one.document.number},"
                    f" but {'; '.join(unlike)}",
                    fix_of_difference(one.expected, found, self._can, one.document.billing_company),
                ),
                found,
            )

    async def _apply(self, one: PreparedDelivery, found: RemoteDocument) -> Transition:
        """Apply a credit note to its invoices. If that is refused, the document stays posted."""
        missing = [each.number for each in one.document.corrects if not each.remote_id]
        applied = Transition("posted")
        if missing:
            applied = Transition(
                "posted",
                code="unapplied",
                message=f"it is not applied to {', '.join(missing)}, not known in this ledger",
                fix="nothing to do if it is delivered later: then the credit note is applied;"
                " else apply it in the ledger by hand",
            )
        if len(missing) == len(one.document.corrects):
            return applied
        if not self._can.allocates:
            return Transition(
                "posted",
                code="not_applied",
                message="this ledger cannot apply a credit note; apply it there by hand",
            )
        one.steps.append("apply")
        try:
            await self._call(lambda: self._adapter.allocate(found, one.document))
        except Failure as failed:
            if failed.failure != "permanent":
                raise
            return Transition(
                "posted",
                code="not_applied",
                message=failed.message,
                fix="apply the credit note to its invoice in the ledger by hand",
                raw=failed.raw,
            )
        return applied


def unexpected_error(error: Exception, invoice_number: str) -> Transition:
    """Refuse the one document on which our code fails; the others go on."""
    telemetry.log().error(
        "unexpected error: the document is refused", invoice=invoice_number, exc_info=error
    )
    return refused(
        "unexpected_error",
        f"our code failed on this document: {type(error).__name__}",
        f"see the worker's log and report it; with a corrected version {RETRY}",
    )
