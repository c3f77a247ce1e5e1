"""Open adapters of a worker, with their secret store and their rate limiter.

An adapter is opened when a connection is first needed, and again when the connection was changed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

import tenacity
from sqlalchemy.ext.asyncio import AsyncEngine

from services.arg_sync.connections.rules import login_pause, pause_seconds
from services.arg_sync.connections.store import budget, secrets
from services.arg_sync.connections.store.batches import batch_requests
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.ledgers.adapter import (
    AdapterContext,
    AdapterSpec,
    Capabilities,
    LedgerAdapter,
    RateLimiter,
    Secrets,
)
from services.arg_sync.ledgers.failures import LOGIN_REFUSED, LOGIN_WAITS, TOO_MANY, Failure
from services.arg_sync.ledgers.http_client import noting_writes
from services.arg_sync.ledgers.registry import capabilities_of
from shared import clock, sealing, telemetry
from shared.database import infrastructure_unavailable, sqlstate
from shared.errors import Refused

USED_UP_DAY_SECONDS = 900.0
CACHE_SECONDS = 1.0
READ_TRIES = 3
TOKEN_TRIES = 5
"""Tokens that are tried before the refusal of tokens counts as one of the login."""
LOGIN_WAIT_SECONDS, LOGIN_POLL_SECONDS = 45.0, 0.25
NOT_REPEATED = ("unreachable", TOO_MANY, LOGIN_WAITS)
"""Codes of failures after which a read is not tried again at once."""
Result = TypeVar("Result")


@dataclass
class StoredSecrets:
    """The secrets of a connection, sealed in the database and opened in memory for a second.

    The second saves a query for each call of a run. A value that was read while a renewal was
    claimed or saved may be outdated, so it is not cached.
    """

    engine: AsyncEngine
    ledger: str
    bound_to: bytes
    _cached: Secrets | None = None
    _cached_until: float = 0.0
    _changes: int = 0

    async def read(self) -> Secrets:
        """Return the newest secrets or those of a second ago, never older than the last save."""
        if self._cached is not None and time.monotonic() <= self._cached_until:
            return self._cached
        changes = self._changes
        found = await self._read()
        if changes == self._changes:
            self._cached, self._cached_until = found, time.monotonic() + CACHE_SECONDS
        return found

    async def _read(self) -> Secrets:
        async with self.engine.connect() as connection:
            found = await secrets.sealed_for(connection, self.ledger)
        if found is None:
            return Secrets(0, {})
        if found.login_refused:
            raise Failure("auth", LOGIN_REFUSED, found.login_refused, everywhere=True)
        try:
            return Secrets(found.version, sealing.unseal(found.sealed, self.bound_to))
        except Refused as refused:
            raise _failure_of(refused) from refused

    @asynccontextmanager
    async def login(self, version: int) -> AsyncIterator[None]:
        """Log in inside of this block: one login at a time, none that cannot work yet."""
        failed_before = await self._claim_login()
        try:
            yield
        except Failure as failed:
            raise await self._failed_login(version, failed, failed_before) from failed
        except BaseException:
            async with self.engine.begin() as connection:
                await secrets.end_login(connection, self.ledger, worked=False)
            raise
        async with self.engine.begin() as connection:
            await secrets.end_login(connection, self.ledger, worked=True)

    async def _claim_login(self) -> int:
        """Wait for our turn; return how many logins failed before, in a row."""
        until = time.monotonic() + LOGIN_WAIT_SECONDS
        while True:
            async with self.engine.begin() as connection:
                permit = await secrets.claim_login(connection, self.ledger)
            if permit.refused:
                raise Failure("auth", LOGIN_REFUSED, permit.refused, everywhere=True)
            if permit.wait_seconds:
                raise _login_waits(permit.wait_seconds, "so many failed before")
            if not permit.busy:
                return permit.failed_before
            if time.monotonic() > until:
                message = f"another worker logs in to {self.ledger}"
                raise Failure("transient", "logging_in", message, everywhere=True)
            await asyncio.sleep(LOGIN_POLL_SECONDS)

    async def _failed_login(self, version: int, failed: Failure, failed_before: int) -> Failure:
        """Store that the login failed and return the failure; a lost connection is none."""
        limited = failed.code == TOO_MANY
        refused = failed.message if failed.failure == "auth" else ""
        async with self.engine.begin() as connection:
            if not (refused or limited):
                await secrets.end_login(connection, self.ledger, worked=False)
                return failed
            pause = login_pause(failed_before, failed.retry_after, limited=limited)
            await secrets.fail_login(connection, self.ledger, version, refused, pause)
        self._cached = None
        return _login_waits(pause, failed.message) if limited else failed

    async def may_renew(self, version: int) -> bool:
        """Claim the renewal of this version; False if another process has the claim."""
        with self._changing():
            async with self.engine.begin() as connection:
                return await secrets.claim_renewal(connection, self.ledger, version)

    async def save(self, version: int, values: Mapping[str, str]) -> Secrets:
        """Store the next version; it is committed before anything uses it."""
        with self._changing():
            async with self.engine.begin() as connection:
                sealed = sealing.seal(values, self._public_key(), self.bound_to)
                if not await secrets.save_sealed(connection, self.ledger, version, sealed):
                    message = "another process renewed the tokens at the same time"
                    raise Failure("transient", "renewed_elsewhere", message)
        return Secrets(version + 1, dict(values))

    def _public_key(self) -> str:
        """Return our own public key; tokens are sealed as an operator's secrets are."""
        try:
            return sealing.public_key_of(sealing.read_private_key())
        except Refused as refused:
            raise _failure_of(refused) from refused

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Drop the cached value, and keep concurrent reads from caching theirs."""
        try:
            yield
        finally:
            self._cached = None
            self._changes += 1


def _login_waits(seconds: float, why: str) -> Failure:
    """Return the failure of a login that must not be tried yet."""
    at = clock.now() + timedelta(seconds=seconds)
    return Failure(
        "transient",
        LOGIN_WAITS,
        f"the next login is tried at {at:%H:%M} UTC, so that the account is not locked: {why}",
        retry_after=seconds,
        everywhere=True,
    )


def binding_of(spec: AdapterSpec, ledger: str, settings: Mapping[str, str]) -> bytes:
    """Return what the secrets of a connection are bound to: name, kind, address and account."""
    return sealing.binding(ledger, spec.name, settings, spec.bound)


def _failure_of(refused: Refused) -> Failure:
    """Return the failure of secrets that cannot be opened.

    A missing or wrong private key may be restored, so the connection waits. Secrets that were
    sealed for another address never fit: the connection stops, and nothing is sent.
    """
    message = f"{refused.message}; {refused.fix}"
    if refused.code == "sealed_for_other":
        return Failure("auth", refused.code, message, everywhere=True)
    return Failure("transient", refused.code, message, everywhere=True)


@dataclass
class OpenAdapter:
    """An adapter in use. `renewals` counts renewals: tasks that fail together renew once."""

    connection: LedgerConnection
    adapter: LedgerAdapter
    capabilities: Capabilities
    renewals: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def call(
        self,
        call: Callable[[], Awaitable[Result]],
        call_limit: asyncio.Semaphore | None = None,
    ) -> Result:
        """Make one call, within the limit of parallel calls if there is one.

        After an `auth` failure the credentials are renewed, outside of the limit and once for all
        tasks that saw the same failure; then the call is repeated. A new token that is refused,
        too, may have ended in between: see `_refused_token`.
        """
        seen = self.renewals
        try:
            return await self._call_once(call, call_limit)
        except Failure as failed:
            if failed.failure != "auth":
                raise
        async with self.lock:
            if self.renewals == seen:
                await self._call_once(self.adapter.renew, None)
                self.renewals += 1
        try:
            return await self._call_once(call, call_limit)
        except Failure as failed:
            if not failed.token_refused:
                raise
            refused = failed
        raise await self._refused_token(refused)

    async def _refused_token(self, refused: Failure) -> Failure:
        """Return what it means that a call was refused with a token that was just renewed.

        If the accounting system admits us to a check with a newer token, only the token had ended:
        the call is tried again later. Else the refusal stays, and stops the connection.
        """
        async with self.lock:
            for _ in range(TOKEN_TRIES):
                try:
                    await self._call_once(self.adapter.check, None)
                except Failure as failed:
                    if failed.token_refused:
                        continue
                    return failed if failed.failure in ("auth", "transient") else refused
                message = f"the token ended again between two calls: {refused.message}"
                return Failure("transient", "token_ended", message, everywhere=True)
        return refused

    async def read(
        self,
        call: Callable[[], Awaitable[Result]],
        call_limit: asyncio.Semaphore | None = None,
    ) -> Result:
        """Make a call that changes nothing; retry it at once if its failure may pass."""

        def may_pass(error: BaseException) -> bool:
            return (
                isinstance(error, Failure)
                and error.failure in ("transient", "unknown")
                and error.retry_after is None
                and error.code not in NOT_REPEATED
            )

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_pass),
            stop=tenacity.stop_after_attempt(READ_TRIES),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=1.0),
            reraise=True,
        )
        return await retrying(self.call, call, call_limit)

    async def _call_once(
        self, call: Callable[[], Awaitable[Result]], call_limit: asyncio.Semaphore | None
    ) -> Result:
        """Make the call. An unexpected exception fails this call only, not the worker.

        After a write was sent its outcome is unknown, so that it is looked up and not sent twice.
        """
        with noting_writes() as written:
            try:
                async with call_limit or nullcontext():
                    return await call()
            except Failure:
                raise
            except Exception as error:
                if infrastructure_unavailable(error) or sqlstate(error):
                    raise
                raise self._unexpected(error, written=bool(written)) from error

    def _unexpected(self, error: Exception, *, written: bool) -> Failure:
        """Log an exception that is no `Failure`; return the failure that it counts as."""
        telemetry.log().error(
            "unexpected error in a ledger adapter", ledger=self.connection.name, exc_info=error
        )
        message = (
            f"our code failed on the ledger's response ({type(error).__name__});"
            " see the worker's log and report it"
        )
        return Failure("unknown" if written else "permanent", "unexpected_error", message)


class AdapterPool:
    """The open adapters of a loop, one for each connection."""

    def __init__(self, engine: AsyncEngine, specs: Mapping[str, AdapterSpec]) -> None:
        self._engine = engine
        self._specs = specs
        self._open: dict[str, OpenAdapter] = {}

    async def adapter_for(self, connection: LedgerConnection) -> OpenAdapter:
        """Return the open adapter of a connection. Raises an `auth` failure for bad settings."""
        known = self._open.get(connection.name)
        if known is not None and known.connection.generation == connection.generation:
            return known
        if known is not None:
            del self._open[connection.name]
            await known.adapter.close()
        spec = self._specs.get(connection.kind)
        if spec is None:
            message = f"this version does not support {connection.kind}"
            raise Failure("auth", "unknown_kind", message)
        try:
            capabilities = capabilities_of(spec, connection.settings)
            adapter = spec.make(
                AdapterContext(
                    connection.name,
                    connection.settings,
                    StoredSecrets(
                        self._engine,
                        connection.name,
                        binding_of(spec, connection.name, connection.settings),
                    ),
                    self._rate_limiter(connection.name, capabilities),
                    capabilities,
                    partial(batch_requests, self._engine, connection.name),
                )
            )
        except (ValueError, KeyError) as error:
            raise Failure("auth", "bad_settings", f"a setting is invalid: {error}") from error
        except Failure as failed:  # an address that may not be called
            raise Failure("auth", failed.code, failed.message) from failed
        self._open[connection.name] = OpenAdapter(connection, adapter, capabilities)
        return self._open[connection.name]

    def _rate_limiter(self, ledger: str, capabilities: Capabilities) -> RateLimiter:
        pause = pause_seconds(capabilities.per_minute) if capabilities.per_minute else 0.0
        per_day = capabilities.per_day

        async def wait_for_permit() -> None:
            if not pause and per_day is None:
                return
            async with self._engine.begin() as connection:
                permit = await budget.permit_call(connection, ledger, pause, per_day)
            if permit.used_up:
                raise Failure(
                    "transient",
                    "day_used_up",
                    f"its {per_day:,} calls of a day are used up",
                    retry_after=USED_UP_DAY_SECONDS,
                    everywhere=True,
                )
            await asyncio.sleep(permit.wait_seconds)

        return wait_for_permit

    async def close(self) -> None:
        """Close every adapter."""
        for each in self._open.values():
            await each.adapter.close()
        self._open.clear()
