"""The conversation with an OpenID provider, by Authlib; its failures become refusals."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client.async_app import AsyncOAuth2Mixin
from authlib.integrations.base_client.async_openid import AsyncOpenIDMixin
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc.errors import ExpiredTokenError, JoseError

from services.console.sessions.openid_claims import claim
from shared import telemetry
from shared.errors import Refused
from shared.settings import Settings

DISCOVERY = "/.well-known/openid-configuration"
REQUEST_SECONDS = 10.0
AGAIN = "sign in again; the log of the provider may say more"
SIGNED_BY = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
"""Algorithms of a public key: with `none` or a shared secret anybody could make an ID token."""
ADDRESSES = (
    *("authorization_endpoint", "token_endpoint", "jwks_uri"),
    *("userinfo_endpoint", "end_session_endpoint"),
)
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")

P = ParamSpec("P")
Result = TypeVar("Result")


class Provider(AsyncOAuth2Mixin, AsyncOpenIDMixin):  # type: ignore[misc]
    """Authlib's client of one provider, without the session of a web framework."""

    client_cls = AsyncOAuth2Client


def refusing(
    call: Callable[P, Coroutine[Any, Any, Result]],
) -> Callable[P, Coroutine[Any, Any, Result]]:
    """Turn what goes wrong in a conversation into a refusal that says what to do."""

    @wraps(call)
    async def answered(*args: P.args, **kwargs: P.kwargs) -> Result:
        try:
            return await call(*args, **kwargs)
        except httpx2.HTTPError as error:
            raise Refused(
                "openid_unavailable",
                f"the OpenID provider does not answer as it should ({type(error).__name__})",
                "try again later; passwords and one-time links work without it",
            ) from error
        except ExpiredTokenError as error:
            raise Refused(
                "openid_token_invalid",
                "the ID token has expired already",
                "set the clocks of the provider and of this machine",
            ) from error
        except (JoseError, AuthlibBaseError) as error:
            code = getattr(error, "error", "") or type(error).__name__
            raise Refused(
                "openid_token_invalid",
                f"the provider gave no valid ID token: {code}"
                f" {getattr(error, 'description', '') or ''}"[:400].strip(),
                AGAIN,
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
            telemetry.log().warning("unreadable answer of the OpenID provider", exc_info=error)
            raise Refused(
                "openid_unreadable",
                f"an answer of the OpenID provider cannot be read ({type(error).__name__})",
                AGAIN,
            ) from error

    return answered


class ProviderClient:
    """What the console asks of a provider."""

    def __init__(self, given: Settings, skew_seconds: int) -> None:
        self._issuer, self._skew = given.openid_issuer, skew_seconds
        self._app = Provider(
            None,
            client_id=given.openid_client_id,
            client_secret=_secret(given),
            server_metadata_url=given.openid_issuer.rstrip("/") + DISCOVERY,
            client_kwargs={
                "scope": given.openid_scopes,
                "code_challenge_method": "S256",
                "timeout": REQUEST_SECONDS,
            },
        )

    @refusing
    async def authorization(self, redirect_uri: str) -> dict[str, str]:
        """The address of the request with its `state`, `nonce` and `code_verifier`."""
        await self._metadata()
        begun: dict[str, str] = await self._app.create_authorization_url(redirect_uri)
        return begun

    @refusing
    async def claims(
        self,
        code: str,
        redirect_uri: str,
        nonce: str,
        code_verifier: str,
        needed: Sequence[str],
    ) -> tuple[dict[str, Any], str]:
        """The claims about the person who has this code, and the ID token."""
        await self._metadata()
        token = await self._app.fetch_access_token(
            redirect_uri, code=code, code_verifier=code_verifier
        )
        found = await self._app.parse_id_token(
            token,
            nonce,
            claims_options={
                "iss": {"essential": True, "value": self._issuer},
                "aud": {"essential": True, "values": [self._app.client_id]},
            },
            leeway=self._skew,
        )
        if found is None:
            raise ValueError("no ID token")
        claims = dict(found)
        missing = any(claim(claims, name) is None for name in needed)
        if missing and self._app.server_metadata.get("userinfo_endpoint"):
            address = self._app.server_metadata["userinfo_endpoint"]
            answer = await self._app.request("GET", address, token=token)
            answer.raise_for_status()
            more = answer.json()
            if more.get("sub") != claims["sub"]:  # Core 5.3.2: of another person
                raise ValueError("sub")
            claims = {**more, **claims}
        return claims, token["id_token"]

    @refusing
    async def sign_out(self, id_token: str, back: str) -> str | None:
        """The address where the browser signs out; None if the provider has none."""
        if not (await self._metadata()).get("end_session_endpoint"):
            return None
        made = await self._app.create_logout_url(
            back, id_token, state="", client_id=self._app.client_id
        )
        address: str = made["url"]
        return address

    async def _metadata(self) -> Mapping[str, Any]:
        """The discovery document, read once. Refused if it is of another issuer (Discovery 4.3)."""
        app = self._app
        if "issuer" not in app.server_metadata:
            try:
                found = await app.load_server_metadata()
                _check(found, self._issuer)
            except BaseException:
                app.server_metadata = {}
                raise
            offered = found.get("id_token_signing_alg_values_supported") or ["RS256"]
            found["id_token_signing_alg_values_supported"] = [
                each for each in offered if each in SIGNED_BY
            ]
            ways = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
            if app.client_secret and "client_secret_basic" not in ways:
                app.client_kwargs["token_endpoint_auth_method"] = "client_secret_post"
        metadata: Mapping[str, Any] = app.server_metadata
        return metadata


def _check(found: Mapping[str, Any], issuer: str) -> None:
    if found.get("issuer") != issuer:
        raise Refused(
            "openid_other_issuer",
            f"the provider calls itself {str(found.get('issuer'))[:200]}, not {issuer}",
            "set BACKOFFICE_OPENID_ISSUER to what it calls itself",
        )
    lacking = [name for name in NEEDED if not found.get(name)]
    insecure = [
        name
        for name in ADDRESSES
        if issuer.startswith("https:") and not str(found.get(name, "https:")).startswith("https:")
    ]
    if lacking or insecure:
        raise Refused(
            "openid_unreadable",
            f"the discovery document of {issuer} has no https address for"
            f" {', '.join([*lacking, *insecure])}",
            "check the issuer",
        )


def _secret(given: Settings) -> str | None:
    """The client secret; None for a public client, which PKCE alone protects."""
    if given.openid_client_secret_file is None:
        return given.openid_client_secret or None
    try:
        return given.openid_client_secret_file.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            "setting-unreadable",
            f"BACKOFFICE_OPENID_CLIENT_SECRET_FILE {given.openid_client_secret_file} cannot be"
            f" read ({type(error).__name__})",
            "correct the setting, or the rights of the file",
        ) from error
