"""Tokens of OAUTHBEARER: from a file that another program renews, or from a token endpoint."""

import asyncio
import ssl
import time
from collections.abc import Callable

import httpx2
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

TOKEN_SECONDS = 10.0
SPARE_SECONDS = 60.0
"""A token is fetched anew when it has less time left than this."""


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]
    """A file holds the token; it is read for every connection, so another program may renew it."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    async def token(self) -> str:
        """Return the token that the file holds now."""
        return await asyncio.to_thread(self._read)


class EndpointTokens(AbstractTokenProvider):  # type: ignore[misc]
    """A token endpoint gives tokens for client id and secret (RFC 6749, 4.4)."""

    def __init__(self, url: str, scope: str, client: str, secret: Callable[[], str]) -> None:
        self._url, self._scope, self._client, self._secret = url, scope, client, secret
        self._token, self._until = "", 0.0

    async def token(self) -> str:
        """Return a token that lasts for a minute at least. Raises KafkaError if none is given."""
        if time.monotonic() > self._until - SPARE_SECONDS:
            form = {"grant_type": "client_credentials"}
            if self._scope:
                form["scope"] = self._scope
            try:
                authorities = ssl.create_default_context()  # those of this machine
                async with httpx2.AsyncClient(timeout=TOKEN_SECONDS, verify=authorities) as http:
                    credentials = (self._client, self._secret())
                    answer = await http.post(self._url, data=form, auth=credentials)
                    answer.raise_for_status()
                    found = answer.json()
                    lasts = float(found.get("expires_in", 0))
                    self._token, self._until = found["access_token"], time.monotonic() + lasts
            except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
                raise KafkaError(
                    f"BACKOFFICE_KAFKA_TOKEN_URL {self._url} gave no token: {error!r}"
                ) from error
        return self._token


def token_provider(
    url: str, scope: str, client: str, secret: Callable[[], str]
) -> AbstractTokenProvider:
    """Tokens of the endpoint if there is one; else `secret` returns the token itself."""
    return EndpointTokens(url, scope, client, secret) if url else FileTokens(secret)
