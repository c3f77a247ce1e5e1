"""A token endpoint that rotates refresh tokens and punishes who uses an old one; and what all
vendors that are played have in common.

Sources: RFC 6749 (grants and errors of a token endpoint), RFC 7523 (the signed assertion that
NetSuite asks for). Assumed: that an old refresh token is good until the new tokens were used once.
"""

import base64
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from services.arg_sync.ledgers.http_client import exact_json
from tests.ledgers.fake import Asked, Reply

CLIENT_ID = "client-1"
CLIENT_SECRET = "canary/client+secret=9b2e"
REFRESH = "canary-refresh-0"


def said(status: int, value: Any, **headers: str) -> Reply:
    """JSON with exact numbers."""
    return Reply(
        status,
        exact_json(value).encode(),
        {"content-type": "application/json"}
        | {name.replace("_", "-"): words for name, words in headers.items()},
    )


@dataclass
class Login:
    """Tokens of one connection.

    An old refresh token is good until the new tokens were used once, however often its answer is
    lost; after that it ends the connection.
    """

    life_seconds: int = 1800
    refresh: str = REFRESH
    olds: set[str] = field(default_factory=set)
    access: str = ""
    dead: bool = False
    count: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    refused_with: tuple[int, dict[str, str]] | None = None
    certificate: ECKey | RSAKey | None = None
    scopes: frozenset[str] | None = None
    """What the app was given; None: whatever is asked for."""

    def answer(self, asked: Asked) -> Reply:
        """The answer of the token endpoint."""
        form = dict(parse_qsl(asked.body.decode()))
        self.asked.append(form)
        if self.refused_with is not None:
            return said(*self.refused_with)
        if not self._knows(asked, form):
            return said(
                401,
                {
                    "error": "invalid_client",
                    "error_description": f"bad secret {form.get('client_secret', '')}",
                },
            )
        asked_for = set(form.get("scope", "").split())
        if self.scopes is not None and not asked_for <= self.scopes:
            # Reported of custom connections of 2026: XeroAPI/xero-mcp-server, issue 209
            why = "Client credentials scope validation failed"
            return said(400, {"error": "invalid_scope", "error_description": why})
        if form.get("grant_type") == "refresh_token":
            token = form.get("refresh_token", "")
            if self.dead or token not in {self.refresh, *self.olds}:
                self.dead = True
                return said(
                    400,
                    {
                        "error": "invalid_grant",
                        "error_description": f"token {token} was used before",
                    },
                )
        self.count += 1
        self.olds.add(self.refresh)
        self.refresh, self.access = f"canary-refresh-{self.count}", f"canary-access-{self.count}"
        rotated = (
            {"refresh_token": self.refresh} if form.get("grant_type") == "refresh_token" else {}
        )
        return said(
            200,
            {"access_token": self.access, "expires_in": self.life_seconds, "token_type": "Bearer"}
            | rotated,
        )

    def lets_in(self, asked: Asked) -> bool:
        """Whether the request bears the newest access token."""
        good = (
            not self.dead
            and bool(self.access)
            and asked.headers.get("authorization") == f"Bearer {self.access}"
        )
        if good:
            self.olds.clear()
        return good

    def expire(self) -> None:
        """The access token is over, though its time is not."""
        self.access = ""

    def _knows(self, asked: Asked, form: dict[str, str]) -> bool:
        if self.certificate is not None:
            claims = jwt.decode(
                form["client_assertion"], self.certificate, algorithms=["ES256", "PS256"]
            ).claims
            assert (
                claims["exp"] - claims["iat"] < 3600
                and claims["aud"].endswith("/token")
                and claims["scope"] == "rest_webservices"
            )
            return bool(claims["iss"] == CLIENT_ID)
        if "client_secret" in form:
            return form["client_secret"] == CLIENT_SECRET
        header = asked.headers.get("authorization", "")
        return (
            header.startswith("Basic ")
            and unquote(base64.b64decode(header[6:]).decode()) == f"{CLIENT_ID}:{CLIENT_SECRET}"
        )


SECRETS = (CLIENT_SECRET, "canary-refresh", "canary-access")
"""What must be seen nowhere, or the beginning of it."""
