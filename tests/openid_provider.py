"""A small OpenID provider that checks what it is asked, and lies where a test says so.

It is strict where `oidc-provider-mock`, with which the browser test signs in, is not: PKCE (RFC
7636 4.6), one use of a code (RFC 6749 4.1.2), client password and redirect address (4.1.3). It
follows OpenID Connect Core 1.0 (`Core`) and Discovery 1.0, with joserfc alone: nothing of Authlib,
which is what it tests.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "console", "a secret of the client"
Change = Callable[[dict[str, Any]], None]


def nothing(_: dict[str, Any]) -> None:
    """Tell the truth."""


@dataclass
class Provider:
    """A running provider. `claims` are those of every person who signs in; `change_token` and
    `change_metadata` alter what it is about to say; `key` signs, `published` is in its key set.
    """

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    only_userinfo: dict[str, Any] = field(default_factory=dict)
    change_token: Change = nothing
    change_metadata: Change = nothing
    algorithm: str = "RS256"
    key: Any = None
    published: Any = None
    asked: dict[str, dict[str, str]] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)

    def tell_the_truth(self, claims: dict[str, Any]) -> None:
        """Begin anew, with these claims."""
        self.claims, self.only_userinfo = claims, {}
        self.change_token = self.change_metadata = nothing
        self.algorithm, self.key = "RS256", self.published

    def new_key(self) -> Any:
        """Another key pair with an id of its own."""
        return RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})

    def metadata(self) -> dict[str, Any]:
        """Discovery 3."""
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/end",
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        self.change_metadata(found)
        return found

    def id_token(self, nonce: str) -> str:
        """Core 2."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "s-1", "nonce": nonce}
        claims |= {"iat": now, "exp": now + 300, **self.claims}
        self.change_token(claims)
        header = {"alg": self.algorithm, "kid": self.key.kid}
        if self.algorithm == "RS256":
            return jwt.encode(header, claims, self.key)
        # By hand, because no library makes such a token: without a signature, or with the public
        # key as a shared secret, which is a known attack.
        signed = ".".join(_part(json.dumps(one).encode()) for one in (header, claims))
        mac = hmac.digest(self.published.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{_part(mac) if self.algorithm == 'HS256' else ''}"

    def answer(self, request: Request) -> Response:
        """Core 3.1.2.5: every person who asks is signed in."""
        given = dict(request.query_params)
        wanted = {"response_type": "code", "client_id": CLIENT, "code_challenge_method": "S256"}
        wrong = [name for name, value in wanted.items() if given.get(name) != value]
        missing = {"redirect_uri", "state", "nonce", "code_challenge", "scope"} - set(given)
        if wrong or missing or "openid" not in given["scope"].split():
            return JSONResponse({"error": "invalid_request", "wrong": wrong}, 400)
        code = secrets.token_urlsafe(16)
        self.asked[code] = given
        back = urlencode({"code": code, "state": given["state"], "iss": self.issuer})
        return RedirectResponse(f"{given['redirect_uri']}?{back}", 302)

    async def exchange(self, request: Request) -> Response:
        """Core 3.1.3, RFC 6749 4.1.3 and 5.2, RFC 7636 4.6."""
        form = dict(await request.form())
        scheme, _, basic = request.headers.get("authorization", "").partition(" ")
        expected = base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '+')}".encode()).decode()
        plain = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if scheme != "Basic" or basic not in (expected, plain):
            return JSONResponse({"error": "invalid_client"}, 401)
        code = str(form.get("code"))
        asked = None if code in self.used else self.asked.get(code)
        digest = hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest()
        if (
            asked is None
            or _part(digest) != asked["code_challenge"]
            or form.get("redirect_uri") != asked["redirect_uri"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        self.used.append(code)
        token = {"access_token": "access", "token_type": "Bearer", "expires_in": 300}
        return JSONResponse(token | {"id_token": self.id_token(asked["nonce"])})


def _part(value: bytes) -> str:
    """A part of a token: base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@contextmanager
def running_provider() -> Iterator[Provider]:
    """A provider on a free port of loopback."""
    provider = Provider()
    provider.key = provider.published = provider.new_key()
    app = FastAPI()
    app.get("/.well-known/openid-configuration")(lambda: provider.metadata())
    app.get("/keys")(lambda: {"keys": [provider.published.as_dict(private=False)]})
    app.get("/userinfo")(lambda: {"sub": "s-1", **provider.only_userinfo})
    app.get("/authorize", response_model=None)(provider.answer)
    app.post("/token", response_model=None)(provider.exchange)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    provider.issuer = f"http://127.0.0.1:{port}"
    yield provider
    server.should_exit = True
    thread.join()
