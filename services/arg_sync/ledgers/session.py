"""Calls with a bearer token: the base of the adapters of cloud systems.

Each adapter reads the failure out of a response itself, since a 200 may be an error.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from services.arg_sync.ledgers.adapter import AdapterContext, AdapterSpec, Secrets, Setting
from services.arg_sync.ledgers.failures import Failure, unreadable
from services.arg_sync.ledgers.http_client import HttpClient, Response, exact_json
from services.arg_sync.ledgers.lookups import AdapterBase
from services.arg_sync.ledgers.oauth import CALL_SECONDS, Grant, Tokens, hidden

KEYS = uuid.UUID("5e8b4ac6-31a1-4d9c-9a0c-0b4a5c4f6a10")

ReadFailure = Callable[[Response, bool], Failure | None]
"""What a response to a write (True) or a read (False) means; None if it is a success."""


def key_of(*parts: str) -> str:
    """Return a key of 36 characters that depends only on the parts."""
    return str(uuid.uuid5(KEYS, "\n".join(parts)))


def most_lines_setting(of_one: str, default: str = "0") -> Setting:
    """Return the setting that limits the number of lines."""
    text = f"above so many lines those of one {of_one} are summed; 0: never"
    return Setting("most_lines", text, default=default)


async def _no_rate_limit() -> None:
    """The token endpoint is not part of the rate budget."""


class CloudAdapter(AdapterBase):
    """An adapter whose calls bear a token. `headers` and `params` go with every call."""

    def __init__(
        self,
        context: AdapterContext,
        spec: AdapterSpec,
        base_url: str,
        token_url: str,
        grant: Grant,
        read_failure: ReadFailure,
        *,
        token_hosts: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(context, spec)
        can = context.capabilities
        self._http_client = HttpClient(
            base_url,
            context.rate_limiter,
            request_seconds=can.request_seconds,
            allowed_hosts=spec.allowed_hosts,
            concurrency=can.concurrency,
        )
        token_client = HttpClient(
            token_url,
            _no_rate_limit,
            request_seconds=CALL_SECONDS,
            allowed_hosts=token_hosts,
            concurrency=1,
        )
        self._tokens = Tokens(context.ledger, context.secret_store, token_client, grant)
        self._read_failure = read_failure
        self._headers, self._params = dict(headers or {}), dict(params or {})

    async def call(
        self,
        method: str,
        path: str,
        *,
        writes: bool,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Make one call; a body that is no text is sent as JSON.

        Raises the failure that the response means, without any secret in it.
        """
        secrets = await self._tokens.current()
        self._http_client.hide = hidden(secrets)
        content = body if isinstance(body, str) or body is None else exact_json(body)
        sent = self._headers | {"authorization": f"Bearer {secrets.values['access_token']}"}
        if content is not None:
            sent["content-type"] = "application/json"
        raw = ""
        try:
            response = await self._http_client.call(
                method,
                path,
                writes=writes,
                content=content,
                params=(self._params | dict(params or {})) or None,
                headers=sent | dict(headers or {}),
            )
            failed, raw = self._read_failure(response, writes), response.raw
            if failed is not None and failed.failure == "auth":
                failed.token_refused = response.status == 401 and not _lacks_scope(response)
        except Failure as raised:
            failed = raised
        failed = self._judged(failed, secrets)
        if failed is None:
            return response
        if failed.failure == "auth":
            self._tokens.refused(secrets)
        raise failed.reading(self._http_client.clean(failed.message), raw) from None

    def _judged(self, failed: Failure | None, secrets: Secrets) -> Failure | None:
        """Return what a response to a call with this token means; None if it is a success."""
        return failed

    async def read(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the JSON object of a GET."""
        response = await self.call("GET", path, writes=False, params=params, headers=headers)
        return self._object(response, writes=False)

    async def write(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the JSON object of a write."""
        response = await self.call(
            method, path, writes=True, body=body, params=params, headers=headers
        )
        return self._object(response, writes=True)

    def _object(self, response: Response, *, writes: bool) -> dict[str, Any]:
        try:
            value = response.json(writes=writes)
        except Failure as failed:
            raise Failure(
                failed.failure, failed.code, self._http_client.clean(failed.message)
            ) from None
        if not isinstance(value, dict):
            raise unreadable(f"the response is no JSON object: {response.words}", writes=writes)
        return value

    async def renew(self) -> None:
        """Get a new access token."""
        await self._tokens.current()

    async def close(self) -> None:
        """Close the connections."""
        await self._http_client.close()
        await self._tokens.close()


def _lacks_scope(response: Response) -> bool:
    """Return whether a call is refused because our tokens do not cover it (RFC 6750, Xero)."""
    words = response.text + response.headers.get("www-authenticate", "")
    return "insufficient_scope" in words or "AuthorizationUnsuccessful" in words


def object_in(response: Response) -> dict[str, Any]:
    """Return the JSON object of a response, empty if it is none."""
    try:
        value = response.json(writes=False)
    except Failure:
        return {}
    return value if isinstance(value, dict) else {}
