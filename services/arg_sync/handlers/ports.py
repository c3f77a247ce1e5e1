"""Ports that are in use: made when a connection is first needed, made anew when it was changed. With them their vault and their turn."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from services.arg_sync.ledgers.kinds import capabilities_of
from services.arg_sync.ledgers.port import Capabilities, Failure, Host, Kind, Port, Secrets
from services.arg_sync.rules.claiming import pause_seconds
from services.arg_sync.store import budget, secrets
from services.arg_sync.store.connections import Connection
from shared import sealing, telemetry
from shared.database import infrastructure_unavailable, sqlstate
from shared.errors import Refused

DAY_REST_SECONDS = 900.0
REMEMBERED_SECONDS = 1.0
Result = TypeVar("Result")


@dataclass
class LedgerVault:
    """A connection's secrets in the books, sealed. Opened ones are in memory only, and for a second: a run of calls asks the books once.

    What was read while a renewal was reserved or saved may be older than it, and is not remembered.
    """

    engine: AsyncEngine
    ledger: str
    _known: Secrets | None = None
    _known_until: float = 0.0
    _changes: int = 0

    async def read(self) -> Secrets:
        """The newest secrets, or those of a second ago; never older than what this vault saved."""
        if self._known is not None and time.monotonic() <= self._known_until:
            return self._known
        changes = self._changes
        found = await self._read()
        if changes == self._changes:
            self._known, self._known_until = found, time.monotonic() + REMEMBERED_SECONDS
        return found

    async def _read(self) -> Secrets:
        async with self.engine.connect() as connection:
            found = await secrets.sealed_for(connection, self.ledger)
        if found is None:
            return Secrets(0, {})
        try:
            return Secrets(found[0], sealing.unseal(found[1]))
        except Refused as refused:
            raise Failure(
                "transient", refused.code, f"{refused.message}; {refused.fix}", everywhere=True
            ) from refused

    async def may_renew(self, version: int) -> bool:
        """Whether the caller alone may renew this version."""
        with self._changing():
            async with self.engine.begin() as connection:
                return await secrets.claim_renewal(connection, self.ledger, version)

    async def save(self, version: int, values: Mapping[str, str]) -> Secrets:
        """The next version, committed before anybody uses it."""
        with self._changing():
            async with self.engine.begin() as connection:
                if not await secrets.save_sealed(
                    connection, self.ledger, version, sealing.seal(values)
                ):
                    raise Failure(
                        "transient",
                        "renewed_elsewhere",
                        "the tokens were renewed by another process meanwhile",
                    )
        return Secrets(version + 1, dict(values))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Forgets what was known before and what was read meanwhile."""
        try:
            yield
        finally:
            self._known = None
            self._changes += 1


@dataclass
class Plugged:
    """A port in use. `renewals` counts its renewals, so that tasks that fail together renew once."""

    connection: Connection
    kind: Kind
    capabilities: Capabilities
    port: Port
    renewals: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def asked(
        self, call: Callable[[], Awaitable[Result]], gate: asyncio.Semaphore | None = None
    ) -> Result:
        """One call of the port, through the gate if so many may be under way at once. A key that is no longer good is renewed, outside of
        the gate and once for all who saw the same failure, and the call is made again."""
        seen = self.renewals
        try:
            return await self._called(call, gate)
        except Failure as failed:
            if failed.failure != "auth":
                raise
        async with self.lock:
            if self.renewals == seen:
                await self._called(self.port.renew, None)
                self.renewals += 1
        return await self._called(call, gate)

    async def _called(
        self, call: Callable[[], Awaitable[Result]], gate: asyncio.Semaphore | None
    ) -> Result:
        """The call. An answer of which nobody thought is the failure of what was asked for: it stops neither the worker nor other connections."""
        try:
            async with gate or nullcontext():
                return await call()
        except Failure:
            raise
        except Exception as error:
            if infrastructure_unavailable(error) or sqlstate(error):
                raise
            telemetry.log().error(
                "a bug: an answer could not be used", ledger=self.connection.ledger, exc_info=error
            )
            words = f"our own code failed at what the ledger said ({type(error).__name__}): see the worker's log and report it"
            raise Failure("permanent", "bug", words) from error


class PortBook:
    """The ports of a worker."""

    def __init__(self, engine: AsyncEngine, kinds: Mapping[str, Kind]) -> None:
        self._engine = engine
        self._kinds = kinds
        self._ports: dict[str, Plugged] = {}

    async def port_for(self, connection: Connection) -> Plugged:
        """The port of a connection. A `Failure` if it cannot be made: its settings are no good."""
        known = self._ports.get(connection.ledger)
        if known is not None and known.connection.generation == connection.generation:
            return known
        if known is not None:
            del self._ports[connection.ledger]
            await known.port.close()
        kind = self._kinds.get(connection.kind)
        if kind is None:
            raise Failure(
                "auth", "unknown_kind", f"this version knows no ledger of kind {connection.kind}"
            )
        try:
            capabilities = capabilities_of(kind, dict(connection.settings))
            vault = LedgerVault(self._engine, connection.ledger)
            port = kind.make(
                Host(
                    connection.ledger,
                    connection.settings,
                    vault,
                    self._turn(connection.ledger, capabilities),
                    capabilities,
                )
            )
        except (ValueError, KeyError) as error:
            raise Failure("auth", "bad_settings", f"a setting is no good: {error}") from error
        except Failure as failed:  # an address that we do not talk to
            raise Failure("auth", failed.code, failed.message) from failed
        self._ports[connection.ledger] = Plugged(connection, kind, capabilities, port)
        return self._ports[connection.ledger]

    def _turn(self, ledger: str, capabilities: Capabilities) -> Callable[[], Awaitable[None]]:
        pause = pause_seconds(capabilities.per_minute) if capabilities.per_minute else 0.0
        per_day = capabilities.per_day

        async def turn() -> None:
            if not pause and per_day is None:
                return
            async with self._engine.begin() as connection:
                mine = await budget.take_turn(connection, ledger, pause, per_day)
            if mine.used_up:
                words = f"its {per_day:,} calls of a day are used up"
                raise Failure(
                    "transient", "day_used_up", words, retry_after=DAY_REST_SECONDS, everywhere=True
                )
            await asyncio.sleep(mine.wait_seconds)

        return turn

    async def close(self) -> None:
        """Ends every port."""
        for plugged in self._ports.values():
            await plugged.port.close()
        self._ports.clear()
