"""OAuth 2 tokens of a connection: the newest one for each call, renewed by one process alone, saved before it is used.

Refresh tokens rotate: whoever uses an old one after the new one was used may lose the connection. So a renewal is reserved in the vault,
nobody else asks meanwhile, and the answer is in the vault before the first call with it; an answer that could not be saved is kept until it
is. A renewal that fails for good stops its connection and no other.
"""

import asyncio
import base64
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from services.arg_sync.ledgers.http_client import Answer, Wire, writing
from services.arg_sync.ledgers.port import Failure, Secrets, Vault
from shared import clock

MARGIN = timedelta(seconds=60)
WAIT_SECONDS = 45.0
CALL_SECONDS = 15.0
MINE_SECONDS = (
    60.0 - CALL_SECONDS - 10.0
)  # a vault reserves for a minute: no call may last beyond it
POLL_SECONDS = 0.25
TOKEN_SECONDS = 3600
NOTHING_MINE = (-1, 0.0)
NOT_SECRET = frozenset({"access_expires_at"})


@dataclass(frozen=True, slots=True, repr=False)
class Asking:
    """What goes to the token endpoint: a form, and how the client names itself."""

    form: Mapping[str, str]
    headers: Mapping[str, str]


Grant = Callable[[Mapping[str, str]], Asking]
"""Makes the request for a new token from the opened secrets."""


def basic(client_id: str, secret: str) -> str:
    """The header by which a client names itself."""
    return (
        "Basic "
        + base64.b64encode(
            f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()
        ).decode()
    )


def refresh_or_client(client_id: str, scope: str = "") -> Grant:
    """By refresh token if there is one, else by the client's own credentials; the client named in the header."""

    def asking(secrets: Mapping[str, str]) -> Asking:
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        if secrets.get("refresh_token"):
            form = {"grant_type": "refresh_token", "refresh_token": secrets["refresh_token"]}
        return Asking(form, {"authorization": basic(client_id, secrets.get("client_secret", ""))})

    return asking


def client_in_form(client_id: str, scope: str) -> Grant:
    """The same with the client named in the form, as Microsoft wants it."""

    def asking(secrets: Mapping[str, str]) -> Asking:
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": secrets.get("client_secret", ""),
            "scope": scope,
        }
        if secrets.get("refresh_token"):
            form |= {"grant_type": "refresh_token", "refresh_token": secrets["refresh_token"]}
        return Asking(form, {})

    return asking


def signed_assertion(client_id: str, certificate_id: str, audience: str, scope: str) -> Grant:
    """By a statement signed with the client's private key (PEM in the secret `private_key`): RSA or EC."""

    def asking(secrets: Mapping[str, str]) -> Asking:
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
        return Asking(
            {
                "grant_type": "client_credentials",
                "client_assertion_type": kind,
                "client_assertion": signed,
            },
            {},
        )

    return asking


def _signed(pem: str, certificate_id: str, claims: dict[str, Any]) -> str:
    """The claims, signed by an RSA or EC key."""
    if isinstance(load_pem_private_key(pem.encode(), None), EllipticCurvePrivateKey):
        key: ECKey | RSAKey = ECKey.import_key(pem)
        algorithm = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[str(key.get("crv"))]
    else:
        key, algorithm = RSAKey.import_key(pem), "PS256"
    return jwt.encode(
        {"alg": algorithm, "kid": certificate_id}, claims, key, algorithms=[algorithm]
    )


class Tokens:
    """The access token of a connection. Shows nothing of itself."""

    def __init__(self, ledger: str, vault: Vault, wire: Wire, grant: Grant) -> None:
        self._ledger = ledger
        self._vault = vault
        self._wire = wire
        self._grant = grant
        self._here = asyncio.Lock()
        self._refused: deque[str] = deque(maxlen=16)
        self._mine = NOTHING_MINE
        self._unsaved: tuple[int, dict[str, str]] | None = None
        self._under_way: asyncio.Task[Secrets] | None = None

    async def current(self) -> Secrets:
        """Secrets with an access token that is good for another minute, renewed if need be."""
        secrets = await self._vault.read()
        return secrets if self._good(secrets) else await self._newer()

    def refused(self, secrets: Secrets) -> None:
        """The accounting system did not take this token."""
        self._refused.append(secrets.values["access_token"])

    async def renew(self) -> None:
        """After a refusal: a token that was not refused yet."""
        await self.current()

    async def close(self) -> None:
        """Ends the connections."""
        await self._wire.close()

    def _good(self, secrets: Secrets) -> bool:
        expires = secrets.values.get("access_expires_at", "")
        alive = bool(expires) and datetime.fromisoformat(expires) - MARGIN > clock.now()
        token = secrets.values.get("access_token")
        return alive and bool(token) and token not in self._refused

    async def _newer(self) -> Secrets:
        async with self._here:
            until = time.monotonic() + WAIT_SECONDS
            while True:
                # Not given up in the middle: an answer that is not saved is a token lost. Whoever comes next waits for the one under way.
                if self._under_way is not None and not self._under_way.done():
                    return await asyncio.shield(self._under_way)
                secrets = await self._vault.read()
                if self._good(secrets):
                    return secrets
                if await self._may_renew(secrets.version):
                    self._under_way = asyncio.create_task(self._renewed(secrets))
                    continue
                if time.monotonic() > until:
                    raise Failure(
                        "transient",
                        "renewing",
                        f"another worker renews the token of {self._ledger} and has not finished",
                        everywhere=True,
                    )
                await asyncio.sleep(POLL_SECONDS)

    async def _may_renew(self, version: int) -> bool:
        """Whether this process alone may renew: asked once, and good for a second try after a failed one."""
        if self._mine[0] == version and time.monotonic() < self._mine[1]:
            return True
        asked_at = time.monotonic()
        if not await self._vault.may_renew(version):
            return False
        self._mine = (version, asked_at + MINE_SECONDS)
        return True

    async def _renewed(self, secrets: Secrets) -> Secrets:
        if self._unsaved is None or self._unsaved[0] != secrets.version:
            values = await self._asked_for(secrets)
            if values is None:
                return await self._vault.read()
            self._unsaved = (secrets.version, values)
        version, values = self._unsaved
        saved = await self._vault.save(version, values)
        self._unsaved, self._mine = (
            None,
            NOTHING_MINE,
        )  # whoever still sees the old version has no right to its token any more
        return saved

    async def _asked_for(self, secrets: Secrets) -> dict[str, str] | None:
        """What the token endpoint gives for these; None if another was faster."""
        self._wire.hide = hidden(secrets)
        asking = self._grant(secrets.values)
        self._wire.hide |= {
            value
            for name, value in asking.form.items()
            if name not in ("grant_type", "scope", "client_id", "client_assertion_type")
        }
        self._wire.hide |= {value.rpartition(" ")[2] for value in asking.headers.values()}
        headers = {"content-type": "application/x-www-form-urlencoded"} | dict(asking.headers)
        try:
            with writing(
                self._mine[1]
            ):  # an old token that leaves after our time may meet a new one in use
                answer = await self._wire.call(
                    "POST", "", writes=True, content=urlencode(asking.form), headers=headers
                )
        except Failure as failed:
            # A lost answer is asked for again with the old token: vendors take it until the new one was used.
            raise (
                Failure("transient", failed.code, failed.message, everywhere=True)
                if failed.failure == "unknown"
                else failed
            ) from None
        if answer.status != 200:
            if (await self._vault.read()).version > secrets.version:
                return None
            raise self._refusal(answer)
        said = answer.json(writes=False)
        if not isinstance(said, dict) or not isinstance(said.get("access_token"), str):
            raise Failure(
                "transient",
                "unreadable",
                f"the token endpoint of {self._ledger} answered without a token",
                everywhere=True,
            )
        values = dict(secrets.values) | {
            "access_token": said["access_token"],
            "access_expires_at": _expires(said),
        }
        if isinstance(said.get("refresh_token"), str):
            values["refresh_token"] = said["refresh_token"]
        return values

    def _refusal(self, answer: Answer) -> Failure:
        """A dead token stops the connection; a server that is not well does not."""
        said = answer.words
        if answer.status in (400, 401, 403):
            words = f"the token of {self._ledger} is dead (HTTP {answer.status}: {said}); connect it again"
            return Failure("auth", "dead_token", self._wire.clean(words), everywhere=True)
        if 300 <= answer.status < 400:
            return Failure(
                "permanent",
                "redirect",
                f"the token endpoint of {self._ledger} wants to send us elsewhere: we follow no redirect",
                everywhere=True,
            )
        words = f"the token endpoint of {self._ledger}: HTTP {answer.status}: {said}"
        return Failure(
            "transient",
            f"token_{answer.status}",
            self._wire.clean(words),
            retry_after=answer.retry_after,
            everywhere=True,
        )


def hidden(secrets: Secrets) -> set[str]:
    """What must never be seen of the secrets, as they are and as they travel."""
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


def _expires(said: Mapping[str, Any]) -> str:
    seconds = said.get("expires_in", TOKEN_SECONDS)
    known = isinstance(seconds, int | str | Decimal) and str(seconds).replace(".", "", 1).isdigit()
    return (
        clock.now() + timedelta(seconds=int(Decimal(str(seconds))) if known else TOKEN_SECONDS)
    ).isoformat()
