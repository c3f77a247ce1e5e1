"""One delivery, step by step: look if there is doubt, create, keep the draft's id, post, apply a credit note. No transaction is open here."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeVar

import tenacity

from services.arg_sync.handlers.ports import Plugged
from services.arg_sync.ledgers.http_client import writing
from services.arg_sync.ledgers.port import Failure, Found, Keyed
from services.arg_sync.rules.backoff import Chances
from services.arg_sync.rules.claiming import MARGIN_SECONDS
from services.arg_sync.rules.comparing import differences
from services.arg_sync.rules.documents import ArDocument
from services.arg_sync.rules.states import (
    Expected,
    Look,
    Next,
    Standing,
    after_failure,
    after_look,
    parked,
)
from services.arg_sync.store.claims import Taken
from shared import faults, telemetry
from shared.database import infrastructure_unavailable, sqlstate

READ_TRIES = 3
CLEAR_AWAY_TRIES, CLEAR_AWAY_SECONDS = 30, 1.0
How = Literal["created", "adopted"]
Result = TypeVar("Result")


class Drafts(Protocol):
    """Where the ids of drafts are kept between two calls."""

    async def keep(self, taken: Taken, found: Found) -> bool:
        """Keeps the id; False if the lease is another's by now."""
        ...

    async def remote_id(self, taken: Taken) -> str | None:
        """The id that is kept for the delivery now."""
        ...


class Overtaken(Exception):
    """The lease ran out and another has the delivery: nothing more is done with it."""


@dataclass
class Prepared:
    """A delivery that is ready: its request is frozen. `document` has what a credit note is applied to."""

    taken: Taken
    document: ArDocument
    request: str
    key: str
    customer: str
    write_before: float
    steps: list[str] = field(default_factory=list)
    doubt: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def expected(self) -> Expected:
        """What must stand in the ledger."""
        return Expected(
            self.document.number,
            self.document.kind,
            self.document.currency,
            self.document.total,
            self.customer,
        )

    @property
    def keyed(self) -> Keyed:
        """What is sent."""
        return Keyed(self.key, self.request, self.document.kind, self.document.number)


@dataclass(frozen=True)
class Outcome:
    """What became of it. `failure`: of the connection, if it was that."""

    taken: Taken
    next: Next
    found: Found | None = None
    how: How = "created"
    steps: str = ""
    began: float = 0.0
    failure: Failure | None = None


class Sender:
    """Carries deliveries through a port."""

    def __init__(
        self,
        plugged: Plugged,
        gate: asyncio.Semaphore,
        chances: Chances,
        drafts: "Drafts",
    ) -> None:
        self._plugged = plugged
        self._port = plugged.port
        self._can = plugged.capabilities
        self._gate = gate
        self._chances = chances
        self._drafts = drafts

    async def send(self, group: Sequence[Prepared]) -> list[Outcome]:
        """Delivers one, or several in one call where the ledger takes several. Of those that were overtaken there is no outcome."""
        created = await self._created(group) if len(group) > 1 else [None]
        outcomes = [
            await self._one(one, outcome) for one, outcome in zip(group, created, strict=True)
        ]
        return [each for each in outcomes if each is not None]

    async def _created(self, group: Sequence[Prepared]) -> Sequence[Found | Failure]:
        """One call for all: a failure of the call is the failure of each."""
        for one in group:
            one.steps.append("create")
        with writing(min(one.write_before for one in group)):
            try:
                return await self._asked(lambda: self._port.create([one.keyed for one in group]))
            except Failure as failed:
                if (
                    failed.code == "bug"
                ):  # it may be about any of them: each is looked up and goes alone
                    failed = Failure("unknown", failed.code, failed.message)
                return [failed] * len(group)

    async def _one(self, one: Prepared, created: Found | Failure | None) -> Outcome | None:
        one.doubt = one.taken.doubt
        try:
            with writing(one.write_before):
                found, how, warning = await self._through(one, created)
        except Failure as failed:
            return self._outcome(
                one,
                self._after(one, failed),
                failure=failed if failed.everywhere or failed.failure == "auth" else None,
            )
        except _Parked as stop:
            return self._outcome(one, stop.next, stop.found)
        except Overtaken:
            return None
        except Exception as error:
            if infrastructure_unavailable(error) or sqlstate(error):
                raise
            return self._outcome(one, bug(error, one.taken.invoice_number))
        return self._outcome(one, replace(warning or Next("posted")), found, how)

    async def _through(
        self, one: Prepared, created: Found | Failure | None
    ) -> tuple[Found, How, Next | None]:
        found, how = created, "created"
        if isinstance(found, Failure):
            raise found
        if found is None and (one.taken.doubt or one.taken.remote_id):
            found = await self._looked(one)
            how = (
                "adopted"
                if found is not None and found.remote_id != one.taken.remote_id
                else "created"
            )
        if found is None:
            one.steps.append("create")
            found, how = await self._made(one)
        await faults.point("document_created")
        one.doubt = (
            True  # from here on the document is there: whatever fails, the next attempt looks first
        )
        if (
            found.state == "draft"
            and found.remote_id != one.taken.remote_id
            and not await self._drafts.keep(one.taken, found)
        ):
            await self._clear_away(one, found)
            raise Overtaken(one.taken.invoice_number)
        self._compare(one, found)
        if found.state == "draft":
            one.steps.append("post")
            draft = found
            found = await self._asked(lambda: self._port.post(draft.remote_id, one.document.kind))
            self._compare(one, found)
            await faults.point("document_posted")
        return found, "adopted" if how == "adopted" else "created", await self._apply(one, found)

    async def _made(self, one: Prepared) -> tuple[Found, How]:
        """Creates it. A number that is taken after we looked in vain: an earlier call of ours took effect in between, and another look shows it."""
        try:
            (answer,) = await self._asked(lambda: self._port.create([one.keyed]))
            if isinstance(answer, Failure):
                raise answer
            return answer, "created"
        except Failure as failed:
            found = (
                await self._looked(one)
                if failed.failure == "duplicate" and one.taken.doubt
                else None
            )
            if found is None:
                raise
            return found, "adopted"

    async def _looked(self, one: Prepared) -> Found | None:
        """What stands there under our number; None if it is to be sent."""
        one.steps.append("look")
        number = one.document.number
        there = (await self._read(lambda: self._port.find(one.document.kind, [number])))[number]
        look: Look = after_look(one.expected, there, one.taken.remote_id)
        if look.verdict == "park" and look.found is not None and self._may_discard(one, look.found):
            one.steps.append("discard")
            wrong = look.found.remote_id
            await self._asked(lambda: self._port.discard(wrong, one.document.kind))
            return None
        if look.verdict == "park":
            raise _Parked(parked(look.code, look.message, look.fix), look.found)
        return look.found

    def _may_discard(self, one: Prepared, found: Found) -> bool:
        """A draft of ours from before a fix: it is made anew."""
        return (
            self._can.discards and found.state == "draft" and found.remote_id == one.taken.remote_id
        )

    async def _clear_away(self, one: Prepared, found: Found) -> None:
        """We were overtaken, and made a draft that nobody will post: it goes, as soon as the successor has one of its own."""
        for _ in range(CLEAR_AWAY_TRIES if self._can.discards else 0):
            theirs = await self._drafts.remote_id(one.taken)
            if theirs == found.remote_id:
                return
            if theirs is not None:
                with writing(
                    math.inf
                ):  # our time to write is over by now, but this draft is nobody's
                    await self._asked(
                        lambda: self._port.discard(found.remote_id, one.document.kind)
                    )
                return
            await asyncio.sleep(CLEAR_AWAY_SECONDS)

    def _compare(self, one: Prepared, found: Found) -> None:
        unlike = differences(one.expected, found)
        if unlike:
            fix = (
                "correct the tax or account mapping, then `backoffice deliveries retry`"
                if found.state == "draft"
                else ""
            )
            message = f"the ledger made {found.remote_id} of {one.document.number}, but {'; '.join(unlike)}"
            raise _Parked(
                parked(
                    "different",
                    message,
                    fix
                    or "void it in the ledger and retry, or take it with `backoffice deliveries adopt`",
                ),
                found,
            )

    async def _apply(self, one: Prepared, found: Found) -> Next | None:
        """Applies a credit note; that it cannot be is told, but the document stands."""
        if one.document.kind != "credit-note" or not any(
            each.remote_id for each in one.document.corrects
        ):
            return None
        if not self._can.allocates:
            return Next(
                "posted",
                code="not_applied",
                message="this ledger has no way to apply a credit note: apply it there by hand",
            )
        one.steps.append("apply")
        try:
            await self._asked(lambda: self._port.allocate(found, one.document))
        except Failure as failed:
            if failed.failure != "permanent":
                raise
            return Next(
                "posted",
                code="not_applied",
                message=failed.message,
                fix="apply the credit note to its invoice in the ledger by hand",
            )
        return None

    async def _asked(self, call: Callable[[], Awaitable[Result]]) -> Result:
        return await self._plugged.asked(call, self._gate)

    async def _read(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """A call that changes nothing: tried again at once a few times."""
        return await short_retries(lambda: self._asked(call))

    def _after(self, one: Prepared, failed: Failure) -> Next:
        settle = 0.0 if self._can.request_key else self._can.server_seconds + MARGIN_SECONDS
        taken = one.taken
        return after_failure(
            failed,
            Standing(taken.tries, one.doubt, taken.troubled_seconds, self._can.request_key, settle),
            self._chances,
        )

    def _outcome(
        self,
        one: Prepared,
        after: Next,
        found: Found | None = None,
        how: How = "created",
        failure: Failure | None = None,
    ) -> Outcome:
        return Outcome(one.taken, after, found, how, " ".join(one.steps), one.began, failure)


def bug(error: Exception, invoice_number: str) -> Next:
    """A document at which our own code fails is parked alone: its neighbours go on."""
    telemetry.log().error("a bug: the document is parked", invoice=invoice_number, exc_info=error)
    return parked(
        "bug",
        f"our own code failed at it: {type(error).__name__}",
        "see the worker's log, report it; with a fixed version `backoffice deliveries retry`",
    )


class _Parked(Exception):
    """A person must decide."""

    def __init__(self, after: Next, found: Found | None = None) -> None:
        super().__init__(after.code)
        self.next = after
        self.found = found


async def short_retries(call: Callable[[], Awaitable[Result]]) -> Result:
    """Tries a read again at once, when its failure may pass and nobody asked us to wait."""

    def passing(error: BaseException) -> bool:
        return (
            isinstance(error, Failure)
            and error.failure in ("transient", "unknown")
            and error.retry_after is None
            and error.code != "unreachable"
        )

    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(passing),
        stop=tenacity.stop_after_attempt(READ_TRIES),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=1.0),
        reraise=True,
    ):
        with attempt:
            return await call()
    raise AssertionError("unreachable")
