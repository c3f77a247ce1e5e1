"""Calls with a bearer token: what the vendors' adapters have in common. Each brings its own reading of an answer, since a 200 may be an error."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from services.arg_sync.ledgers.http_client import Answer, Wire, exact_json
from services.arg_sync.ledgers.oauth import CALL_SECONDS, Grant, Tokens, hidden
from services.arg_sync.ledgers.port import Failure, Found, Host

KEYS = uuid.UUID("5e8b4ac6-31a1-4d9c-9a0c-0b4a5c4f6a10")

Result = TypeVar("Result")
Reading = Callable[[Answer, bool], Failure | None]
"""What an answer to a write (True) or read (False) means, None if it is a success."""


def key_of(*parts: str) -> str:
    """A key that is the same for the same parts, 36 characters: for calls that have no stored one."""
    return str(uuid.uuid5(KEYS, "\n".join(parts)))


async def _at_once() -> None:
    """The token endpoint is not in the rate budget."""


class Session:
    """The API of one connection, logged in."""

    def __init__(
        self,
        host: Host,
        base_url: str,
        token_url: str,
        grant: Grant,
        reading: Reading,
        *,
        hosts: tuple[str, ...],
        token_hosts: tuple[str, ...],
    ) -> None:
        can = host.capabilities
        self.wire = Wire(
            base_url,
            host.turn,
            request_seconds=can.request_seconds,
            allowed_hosts=hosts,
            concurrency=can.concurrency,
        )
        tokens = Wire(
            token_url,
            _at_once,
            request_seconds=CALL_SECONDS,
            allowed_hosts=token_hosts,
            concurrency=1,
        )
        self.tokens = Tokens(host.ledger, host.vault, tokens, grant)
        self._reading = reading

    async def call(
        self,
        method: str,
        path: str,
        *,
        writes: bool,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call. A body that is no text becomes JSON. Raises what the answer means; no secret is in it."""
        secrets = await self.tokens.current()
        self.wire.hide = hidden(secrets)
        content = body if isinstance(body, str) or body is None else exact_json(body)
        asked = {"authorization": f"Bearer {secrets.values['access_token']}"} | (
            {"content-type": "application/json"} if content is not None else {}
        )
        try:
            answer = await self.wire.call(
                method,
                path,
                writes=writes,
                content=content,
                params=params,
                headers=asked | dict(headers or {}),
            )
            failed = self._reading(answer, writes)
        except Failure as raised:
            failed = raised
        if failed is None:
            return answer
        if failed.failure == "auth":
            self.tokens.refused(secrets)
        raise Failure(
            failed.failure,
            failed.code,
            self.wire.clean(failed.message),
            retry_after=failed.retry_after,
            everywhere=failed.everywhere,
        ) from None

    async def read(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON object that a GET gives."""
        return self._object(
            await self.call("GET", path, writes=False, params=params, headers=headers), writes=False
        )

    async def write(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON object that a write gives."""
        return self._object(
            await self.call(method, path, writes=True, body=body, params=params, headers=headers),
            writes=True,
        )

    def _object(self, answer: Answer, *, writes: bool) -> dict[str, Any]:
        try:
            value = answer.json(writes=writes)
        except Failure as failed:
            raise Failure(failed.failure, failed.code, self.wire.clean(failed.message)) from None
        if not isinstance(value, dict):
            raise Failure(
                "unknown" if writes else "transient",
                "unreadable",
                f"the answer is no JSON object: {answer.words}",
            )
        return value

    async def close(self) -> None:
        """Ends the connections."""
        await self.wire.close()
        await self.tokens.close()


def object_in(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer, empty if it is none: for readings that look into errors."""
    try:
        value = answer.json(writes=False)
    except Failure:
        return {}
    return value if isinstance(value, dict) else {}


async def if_there(call: Awaitable[Result]) -> Result | None:
    """What a call gives; None if the other side itself says that there is none."""
    try:
        return await call
    except Failure as failed:
        if failed.code == "http_404":
            return None
        raise


async def read_back(done: str, call: Awaitable[Found | None]) -> Found:
    """The document after a write. If it cannot be read, nobody knows how it stands. `done`: what was done before, as in "INV-1 was made"."""
    try:
        there = await call
    except Failure as failed:
        raise Failure(
            "unknown",
            failed.code,
            f"{done}, and could not be read: {failed.message}",
            retry_after=failed.retry_after,
        ) from None
    if there is None:
        raise Failure("unknown", "unreadable", f"{done}, and is not there")
    return there


def by_number(numbers: Sequence[str], there: Sequence[Found]) -> dict[str, list[Found]]:
    """Under each number that was asked for the documents that bear it, voided ones not."""
    return {
        number: [one for one in there if one.number == number and one.state != "voided"]
        for number in numbers
    }


def doubtful(what: str, error: Exception, *, writes: bool) -> Failure:
    """An answer without what it must hold: of a write nobody knows."""
    return Failure(
        "unknown" if writes else "transient",
        "unreadable",
        f"{what} lacks what it must hold ({type(error).__name__}: {error})",
    )
