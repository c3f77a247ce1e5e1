"""OAuth 2 tokens of a connection: renewed by one process alone and saved before their first use.

Refresh tokens rotate: using an old one after the new one was used may end the connection. So a
process claims the renewal in the secret store, and the new tokens are saved there before the first
call with them; tokens that could not be saved are kept until they are. A renewal that fails
permanently stops its connection and no other.
"""

import asyncio
import base64
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from services.arg_sync.ledgers.adapter import Secrets, SecretStore
from services.arg_sync.ledgers.failures import TOO_MANY, Failure
from services.arg_sync.ledgers.http_client import QUOTED_LENGTH, HttpClient, Response, writing
from shared import clock
from shared.json_text import finite_decimal

MARGIN = timedelta(seconds=60)
WAIT_SECONDS = 45.0
CALL_SECONDS = 15.0
CLAIM_SECONDS = 60.0 - CALL_SECONDS - 10.0
"""How long a claim is used: the secret store holds it for a minute, and no call may last longer."""
POLL_SECONDS = 0.25
TOKEN_SECONDS = 3600
TOKEN_LENGTH = 16_384
MAX_TOKEN_SECONDS = 366 * 86_400
NO_CLAIM = (-1, 0.0)
NOT_SECRET = frozenset({"access_expires_at"})


@dataclass(frozen=True, slots=True, repr=False)
class TokenRequest:
    """What is sent to the token endpoint: a form, and headers that identify the client."""

    form: Mapping[str, str]
    headers: Mapping[str, str]


Grant = Callable[[Mapping[str, str]], TokenRequest]
"""Returns the request for a new token, made from the opened secrets."""


def basic(client_id: str, secret: str) -> str:
    """Return the header that identifies a client."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def refresh_or_client(client_id: str, scope: str = "", *, in_form: bool = False) -> Grant:
    """Grant by refresh token if there is one, else by client credentials.

    The client is identified in the header, or in the form, as Microsoft requires.
    """

    def request(secrets: Mapping[str, str]) -> TokenRequest:
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        if secrets.get("refresh_token"):
            form = {"grant_type": "refresh_token", "refresh_token": secrets["refresh_token"]}
        secret = secrets.get("client_secret", "")
        if in_form:
            client = {"client_id": client_id, "client_secret": secret, "scope": scope}
            return TokenRequest(form | client, {})
        return TokenRequest(form, {"authorization": basic(client_id, secret)})

    return request


def signed_assertion(client_id: str, certificate_id: str, audience: str, scope: str) -> Grant:
    """Grant by an assertion signed with the RSA or EC key in the secret `private_key` (PEM)."""

    def request(secrets: Mapping[str, str]) -> TokenRequest:
        pem = secrets.get("private_key", "")
        now = int(clock.now().timestamp())
        claims = {"iss": client_id, "scope": scope, "aud": audience, "iat": now, "exp": now + 300}
        try:
            signed = _signed(pem, certificate_id, claims)
        except (JoseError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Failure(
                "auth",
                "bad_private_key",
                f"the private key cannot sign: {type(error).__name__}; give it as PEM",
                everywhere=True,
            ) from None
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return TokenRequest(
            {
                "grant_type": "client_credentials",
                "client_assertion_type": kind,
                "client_assertion": signed,
            },
            {},
        )

    return request


def _signed(pem: str, certificate_id: str, claims: dict[str, Any]) -> str:
    """Sign claims with an RSA or EC key."""
    if isinstance(load_pem_private_key(pem.encode(), None), EllipticCurvePrivateKey):
        key: ECKey | RSAKey = ECKey.import_key(pem)
        algorithm = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[str(key.get("crv"))]
    else:
        key, algorithm = RSAKey.import_key(pem), "PS256"
    return jwt.encode(
        {"alg": algorithm, "kid": certificate_id}, claims, key, algorithms=[algorithm]
    )


class Tokens:
    """The access token of a connection."""

    def __init__(
        self, ledger: str, secret_store: SecretStore, http_client: HttpClient, grant: Grant
    ) -> None:
        self._ledger = ledger
        self._secret_store = secret_store
        self._http_client = http_client
        self._grant = grant
        self._lock = asyncio.Lock()
        self._refused: deque[str] = deque(maxlen=16)
        self._claim = NO_CLAIM
        self._unsaved: tuple[int, dict[str, str]] | None = None
        self._renewal: asyncio.Task[Secrets] | None = None

    async def current(self) -> Secrets:
        """Return secrets with an access token that is valid for another minute; renew if needed."""
        secrets = await self._secret_store.read()
        return secrets if self._is_valid(secrets) else await self._wait_for_newer()

    def refused(self, secrets: Secrets) -> None:
        """Remember that the accounting system refused this token."""
        self._refused.append(secrets.values["access_token"])

    async def close(self) -> None:
        """Close the connections."""
        await self._http_client.close()

    def _is_valid(self, secrets: Secrets) -> bool:
        expires = secrets.values.get("access_expires_at", "")
        alive = bool(expires) and datetime.fromisoformat(expires) - MARGIN > clock.now()
        token = secrets.values.get("access_token")
        return alive and bool(token) and token not in self._refused

    async def _wait_for_newer(self) -> Secrets:
        async with self._lock:
            until = time.monotonic() + WAIT_SECONDS
            while True:
                # A renewal is never cancelled, because an unsaved token would be lost. A later
                # caller waits for the running one.
                if self._renewal is not None and not self._renewal.done():
                    return await asyncio.shield(self._renewal)
                secrets = await self._secret_store.read()
                if self._is_valid(secrets):
                    return secrets
                if await self._may_renew(secrets.version):
                    self._renewal = asyncio.create_task(self._renew(secrets))
                    continue
                if time.monotonic() > until:
                    raise Failure(
                        "transient",
                        "renewing",
                        f"another worker has not finished renewing the token of {self._ledger}",
                        everywhere=True,
                    )
                await asyncio.sleep(POLL_SECONDS)

    async def _may_renew(self, version: int) -> bool:
        """Claim the renewal; the claim also covers a second try after a failed one."""
        if self._claim[0] == version and time.monotonic() < self._claim[1]:
            return True
        claimed_at = time.monotonic()
        if not await self._secret_store.may_renew(version):
            return False
        self._claim = (version, claimed_at + CLAIM_SECONDS)
        return True

    async def _renew(self, secrets: Secrets) -> Secrets:
        if self._unsaved is None or self._unsaved[0] != secrets.version:
            values = await self._request(secrets)
            if values is None:
                return await self._secret_store.read()
            self._unsaved = (secrets.version, values)
        version, values = self._unsaved
        saved = await self._secret_store.save(version, values)
        # From here on the old version must not be renewed again.
        self._unsaved, self._claim = None, NO_CLAIM
        return saved

    async def _request(self, secrets: Secrets) -> dict[str, str] | None:
        """Request new tokens; None if another process renewed them first."""
        self._http_client.hide = hidden(secrets)
        request = self._grant(secrets.values)
        self._http_client.hide |= {
            value
            for name, value in request.form.items()
            if name not in ("grant_type", "scope", "client_id", "client_assertion_type")
        }
        self._http_client.hide |= {value.rpartition(" ")[2] for value in request.headers.values()}
        async with self._secret_store.login(secrets.version):
            response = await self._send(request)
            if response.status != 200:
                if (await self._secret_store.read()).version > secrets.version:
                    return None
                raise self._refusal(response)
        return self._values(secrets, response)

    async def _send(self, request: TokenRequest) -> Response:
        """Send a request to the token endpoint."""
        headers = {"content-type": "application/x-www-form-urlencoded"} | dict(request.headers)
        try:
            # After the claim a new token may be in use, so the old one must not be sent any more.
            with writing(self._claim[1]):
                return await self._http_client.call(
                    "POST",
                    "",
                    writes=True,
                    content=urlencode(request.form),
                    headers=headers,
                    has_secrets=True,
                )
        except Failure as failed:
            # After a lost response the old token is sent again: vendors accept it until the new
            # one was used.
            raise (
                Failure("transient", failed.code, failed.message, everywhere=True)
                if failed.failure == "unknown"
                else failed
            ) from None

    def _values(self, secrets: Secrets, response: Response) -> dict[str, str]:
        """Return the secrets with the new tokens."""
        tokens = response.json(writes=False)
        if not isinstance(tokens, dict) or not _is_token(tokens.get("access_token")):
            raise Failure(
                "transient",
                "unreadable",
                f"the token endpoint of {self._ledger} returned no token",
                everywhere=True,
            )
        values = dict(secrets.values) | {
            "access_token": tokens["access_token"],
            "access_expires_at": _expires(tokens),
        }
        if _is_token(tokens.get("refresh_token")):
            values["refresh_token"] = tokens["refresh_token"]
        return values

    def _refusal(self, response: Response) -> Failure:
        """Return the failure of a renewal. Only a refused token stops the connection."""
        status, text = response.status, self._http_client.clean(_error_words(response))
        if status in (400, 401, 403):
            what = "the credentials"
            if "invalid_scope" in response.text:
                what = "the scopes (the app was not given what the setting `scope` asks for)"
            return Failure(
                "auth",
                "dead_token",
                f"the token endpoint refuses {what} of {self._ledger} (HTTP {status}): {text}",
                everywhere=True,
            )
        endpoint = f"the token endpoint of {self._ledger}"
        if 300 <= status < 400:
            return Failure(
                "permanent",
                "redirect",
                f"{endpoint} redirects, and no redirect is followed",
                everywhere=True,
            )
        return Failure(
            "transient",
            TOO_MANY if status == 429 else f"token_{status}",
            f"{endpoint}: HTTP {status}: {text}",
            retry_after=response.retry_after,
            everywhere=True,
        )


def hidden(secrets: Secrets) -> set[str]:
    """Return the secret values that must never be shown, as they are and as they are encoded."""
    plain = {
        value
        for name, value in secrets.values.items()
        if name not in NOT_SECRET and len(value) >= 4
    }
    return (
        plain
        | {quote(value, safe="") for value in plain}
        | {value.replace("/", "\\/") for value in plain}
    )


def _error_words(response: Response) -> str:
    """Return the error that a token endpoint names (RFC 6749, 5.2), and nothing else of it."""
    try:
        found = response.json(writes=False)
    except Failure:
        found = None
    if not isinstance(found, dict):
        return response.words
    words = [found.get(name) for name in ("error", "error_description")]
    return ": ".join(word[:QUOTED_LENGTH] for word in words if isinstance(word, str) and word)


def _is_token(value: Any) -> bool:
    """Return whether a value is a token: visible ASCII (RFC 6749, appendix A), not too long."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= TOKEN_LENGTH
        and value.isascii()
        and value.isprintable()
    )


def _expires(tokens: Mapping[str, Any]) -> str:
    """Return when the token expires; nonsense, and more than a year, count as an hour."""
    try:
        seconds = int(finite_decimal(tokens.get("expires_in", TOKEN_SECONDS)))
    except ValueError:
        seconds = TOKEN_SECONDS
    if not 0 <= seconds <= MAX_TOKEN_SECONDS:
        seconds = TOKEN_SECONDS
    return (clock.now() + timedelta(seconds=seconds)).isoformat()
